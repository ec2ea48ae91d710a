package api

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/chat"
)

// lowSpace is when Doctor warns: a day of a busy node and its copies.
const lowSpace = 256 << 20

// clockSlip is how far the newest stored message may lie in the future before
// the clock must have been set back.
const clockSlip = chat.ClockSlack

// Doctor makes the checks that need the store and the API, and adds node's.
func (s nodeService) Doctor(ctx context.Context, _ *apiv1.DoctorRequest) (*apiv1.DoctorResponse, error) {
	checks := []Check{s.checkFolder(), s.checkDisk(), s.checkKey(), s.checkClock(ctx), s.checkPage(), s.checkMail()}
	if s.cfg.Checks != nil {
		checks = append(checks, s.cfg.Checks(ctx)...)
	}
	out := &apiv1.DoctorResponse{}
	for _, c := range checks {
		if c.Name != "" {
			out.Checks = append(out.Checks, &apiv1.Check{Name: c.Name, Result: apiv1.Check_Result(c.Result), Text: c.Text, Fix: c.Fix})
		}
	}
	return out, nil
}

func (s nodeService) checkFolder() Check {
	dir := s.cfg.DataFolder
	if dir == "" {
		return Check{}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return Check{"data folder", Problem, fmt.Sprintf("%s cannot be read: %v", dir, errors.Unwrap(err)), "mount or restore the folder, then start the node again"}
	case unixModes && info.Mode().Perm()&0o077 != 0:
		return Check{"data folder", Warning, dir + " can be entered by other users of this computer", "chmod 700 " + dir}
	}
	probe := filepath.Join(dir, ".doctor")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return Check{"data folder", Problem, fmt.Sprintf("%s cannot be written: %v", dir, errors.Unwrap(err)), "give the folder back to the user who runs Parley"}
	}
	_ = os.Remove(probe)
	return Check{"data folder", OK, dir + " is yours alone", ""}
}

func (s nodeService) checkDisk() Check {
	const fix = "free some space; messages go on by themselves"
	if s.cfg.DB.Health().Load().Full {
		return Check{"disk", Problem, "disk full: nothing stored is lost; you can read, not write, until there is space", fix}
	}
	if s.cfg.DataFolder == "" {
		return Check{}
	}
	free, err := freeSpace(s.cfg.DataFolder)
	switch {
	case err != nil:
		return Check{"disk", Warning, fmt.Sprintf("the free space is not known: %v", err), ""}
	case free < lowSpace:
		return Check{"disk", Warning, fmt.Sprintf("%d MiB are free", free>>20), fix}
	}
	return Check{"disk", OK, fmt.Sprintf("%.1f GiB are free", float64(free)/(1<<30)), ""}
}

func (s nodeService) checkKey() Check {
	if !s.cfg.KeyInFile {
		return Check{"data key", OK, "the key of the data is not on this disk in the clear", ""}
	}
	return Check{"data key", Warning, "the key of the data lies beside it: a stolen disk can be read", "use full-disk encryption"}
}

// checkClock compares the clock with what it said before: nobody else is
// asked, so a clock that was always wrong is not found here.
func (s nodeService) checkClock(ctx context.Context) Check {
	now := time.Now()
	var newest time.Time
	err := s.read(ctx, func(v *view) error {
		list, err := v.tx.Conversations()
		for _, c := range list {
			if c.Last != nil && c.Last.Received.After(newest) {
				newest = c.Last.Received
			}
		}
		return err
	})
	switch {
	case err != nil:
		return Check{"clock", Warning, "could not compare the clock with the messages", ""}
	case newest.After(now.Add(clockSlip)):
		return Check{"clock", Problem, fmt.Sprintf("the clock was set back by %s: others may ignore your messages", newest.Sub(now).Round(time.Minute)), "set the clock, best by network time"}
	}
	return Check{"clock", OK, now.Format("2 Jan 2006 15:04 MST"), ""}
}

func (s nodeService) checkPage() Check {
	if page := s.page(); page != "" {
		return Check{"page", OK, "served at " + page, ""}
	}
	return Check{"page", OK, "no page is served: api.address or api.page is off", ""}
}
