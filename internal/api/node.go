package api

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"

	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "parley/gen/parley/api/v1"
)

func (s nodeService) GetStatus(ctx context.Context, _ *apiv1.GetStatusRequest) (*apiv1.GetStatusResponse, error) {
	net := s.cfg.Network.State()
	out := &apiv1.GetStatusResponse{
		Version: s.cfg.Version, Account: string(s.cfg.Keys.Account()), Device: string(s.cfg.Keys.Device()),
		Pulse: pulse(s.cfg.Pulse.Load()), Started: timestamppb.New(s.cfg.Started), Page: s.page(),
		Connections: uint32(len(net.Peers)), DhtPeers: uint32(net.DHTPeers), Reachability: net.Reachability,
		DataFolder: s.cfg.DataFolder, DiskBytes: folderSize(s.cfg.DataFolder), KeyInFile: s.cfg.KeyInFile, Listen: net.Listen,
	}
	return out, s.read(ctx, func(v *view) error {
		p, err := v.profile()
		if err != nil {
			return err
		}
		out.DisplayName = p.DisplayName
		queued, err := v.tx.Unfinished()
		if err != nil {
			return fmt.Errorf("counting messages: %w", err)
		}
		out.Queued = uint32(queued)
		return nil
	})
}

// folderSize is what the data folder takes on disk. Files that vanish while it
// counts do not count.
func folderSize(dir string) (total uint64) {
	if dir == "" {
		return 0
	}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // gone already
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += uint64(info.Size())
		}
		return nil
	})
	return total
}

func (s nodeService) ListConfig(context.Context, *apiv1.ListConfigRequest) (*apiv1.ListConfigResponse, error) {
	out := &apiv1.ListConfigResponse{}
	for _, set := range s.cfg.Settings {
		out.Settings = append(out.Settings, &apiv1.Setting{Key: set.Key, Value: set.Value, Origin: set.Origin, Help: set.Help})
	}
	return out, nil
}

func (s nodeService) Stop(context.Context, *apiv1.StopRequest) (*apiv1.StopResponse, error) {
	if s.cfg.Stop != nil {
		s.cfg.Stop()
	}
	return &apiv1.StopResponse{}, nil
}
