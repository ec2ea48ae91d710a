package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	apiv1 "parley/gen/parley/api/v1"
	"parley/parleytest/process"
)

// runPage lets Chromium drive the pages of two real nodes with empty folders.
// The script measures the way to the first DELIVERED message and lets axe look
// at every screen in both themes.
func runPage(ctx context.Context, bin, root, shots string) error {
	infra, bootstrap, err := startInfra(ctx, bin, root)
	if err != nil {
		return err
	}
	defer infra.Kill()
	script := exec.CommandContext(ctx, "node", "e2e/run.mjs")
	script.Dir = filepath.Join("internal", "web", "ui")
	script.Stdout, script.Stderr = os.Stdout, os.Stderr
	script.Env = append(os.Environ(), "PARLEY_SHOTS="+shots)
	for _, name := range []string{"a", "b"} {
		p, err := newSide(bin, filepath.Join(root, name), bootstrap)
		if err != nil {
			return err
		}
		if err := p.Start(ctx); err != nil {
			return err
		}
		defer p.Kill()
		login, err := p.API.Admin.CreateLogin(ctx, &apiv1.CreateLoginRequest{})
		if err != nil {
			return fmt.Errorf("making a login: %w", err)
		}
		script.Env = append(script.Env, "PARLEY_URL_"+strings.ToUpper(name)+"="+login.Url)
		if name != "a" {
			continue
		}
		// The script ends and restarts this node in the middle of a talk. What
		// it starts is not our child: it is stopped by its own command line.
		stop, start := p.Shell("stop"), p.Shell("up", "--no-open")+" >>"+process.Quote(filepath.Join(p.Dir, "out.log"))+" 2>&1 &"
		script.Env = append(script.Env, "PARLEY_STOP_A="+stop, "PARLEY_START_A="+start)
		defer func() {
			_ = exec.Command("sh", "-c", stop).Run() // gone already is fine
		}()
	}
	if err := script.Run(); err != nil {
		return fmt.Errorf("driving the page: %w", err)
	}
	return nil
}
