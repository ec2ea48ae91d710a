package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"parley/client"
	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/config"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Check what can be wrong, and print the fix",
		Long:    "Doctor asks the running node about port, clock, disk and network. Without a node it\nchecks what would keep one from starting, and ends with 3.",
		Example: "  parley doctor\n  parley doctor --json | jq '.checks[] | select(.result != \"RESULT_OK\")'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			up, err := a.running(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if !up {
				if _, err := a.printChecks(&apiv1.DoctorResponse{Checks: localChecks(cmd.Context(), cfg)}); err != nil {
					return err
				}
				return notRunning(cfg.API.Socket)
			}
			return a.withNode(cmd, func(ctx context.Context, c *client.Client) error {
				res, err := c.Node.Doctor(ctx, &apiv1.DoctorRequest{})
				if err != nil {
					return err
				}
				problems, err := a.printChecks(res)
				if err == nil && problems > 0 {
					err = &failure{code: exitOther, reason: "PROBLEM", what: fmt.Sprintf("%d of %d checks found a problem", problems, len(res.GetChecks()))}
				}
				return err
			})
		},
	}
}

// printChecks also counts the problems.
func (a *app) printChecks(res *apiv1.DoctorResponse) (problems int, err error) {
	rows := make([][]cell, 0, len(res.GetChecks()))
	for _, c := range res.GetChecks() {
		mark := cell{"ok", plainStyle}
		switch c.GetResult() {
		case apiv1.Check_RESULT_WARNING:
			mark = cell{"warning", yellow}
		case apiv1.Check_RESULT_PROBLEM:
			mark = cell{"problem", red}
			problems++
		case apiv1.Check_RESULT_OK:
		case apiv1.Check_RESULT_UNSPECIFIED:
			mark = cell{"unknown", dim}
		}
		rows = append(rows, []cell{mark, {text: cleanName(c.GetName())}, {text: cleanText(c.GetText())}})
		if c.GetFix() != "" && c.GetResult() != apiv1.Check_RESULT_OK {
			rows = append(rows, []cell{{}, {}, {text: "fix: " + cleanText(c.GetFix())}})
		}
	}
	if a.json {
		return problems, a.print(res)
	}
	a.look.table(a.out, nil, rows)
	return problems, nil
}

// localChecks need no node.
func localChecks(ctx context.Context, cfg *config.Config) []*apiv1.Check {
	return []*apiv1.Check{
		{Name: "settings", Result: apiv1.Check_RESULT_OK, Text: "read from " + cfg.File + " and its layers"},
		checkData(cfg.Data.Dir),
		checkSocket(cfg),
		checkPort(ctx, cfg.API.Address),
	}
}

// checkData says whether the data folder, or the nearest folder above it that
// exists, takes files.
func checkData(dir string) *apiv1.Check {
	c := &apiv1.Check{Name: "data folder", Result: apiv1.Check_RESULT_OK, Text: dir}
	at := dir
	for {
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			c.Result, c.Text, c.Fix = apiv1.Check_RESULT_PROBLEM, at+" is not a folder", "move it away, or choose another with --data"
			return c
		}
		if err == nil {
			break
		}
		if !os.IsNotExist(err) || filepath.Dir(at) == at {
			c.Result, c.Text, c.Fix = apiv1.Check_RESULT_PROBLEM, err.Error(), "choose another with --data"
			return c
		}
		at = filepath.Dir(at)
	}
	if at != dir {
		c.Text += " (made at the first start)"
	}
	f, err := os.CreateTemp(at, ".parley-doctor-*")
	if err != nil {
		c.Result, c.Text, c.Fix = apiv1.Check_RESULT_PROBLEM, "nothing can be written to "+at, "make the folder yours (chown, chmod 700), or choose another with --data"
		return c
	}
	_ = f.Close()
	_ = os.Remove(f.Name())
	return c
}

func checkSocket(cfg *config.Config) *apiv1.Check {
	c := &apiv1.Check{Name: "socket", Result: apiv1.Check_RESULT_OK, Text: cfg.API.Socket}
	if err := cfg.CheckSocketFolder(); err != nil {
		f := folderFailure(cfg, err)
		c.Result, c.Text, c.Fix = apiv1.Check_RESULT_PROBLEM, f.what, f.hint
	}
	return c
}

func checkPort(ctx context.Context, addr string) *apiv1.Check {
	c := &apiv1.Check{Name: "port", Result: apiv1.Check_RESULT_OK, Text: addr + " is free"}
	if addr == "" {
		c.Text = "api.address is off: no page"
		return c
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		c.Result, c.Text = apiv1.Check_RESULT_PROBLEM, "another program uses "+addr
		c.Fix = "end that program, or choose another port with --address 127.0.0.1:4718"
		return c
	}
	_ = l.Close()
	return c
}
