package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// node is one process in a namespace, driven through the command line.
type node struct {
	binary, socket string
	cmd            *exec.Cmd
	log            *os.File
}

func start(dir, binary, namespace string, args ...string) (*node, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	n := &node{binary: binary, socket: filepath.Join(dir, "s"), log: log}
	args = append([]string{"netns", "exec", namespace, binary, "up", "--no-open", "--data", filepath.Join(dir, "data"), "--socket", n.socket}, args...)
	n.cmd = exec.Command("ip", args...)
	n.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return n, nil
}

// stop kills the process: `ip netns exec` becomes the program, so the pid is
// the node's.
func (n *node) stop() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	_ = n.log.Close()
}

// call runs one command of parley against the node and reads its JSON.
func (n *node) call(ctx context.Context, into any, args ...string) error {
	cmd := exec.CommandContext(ctx, n.binary, append([]string{"--json", "--socket", n.socket}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Errorf("parley %s: %w: %s%s", args[0], err, out, exit.Stderr)
		}
		return err
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(out, into)
}

// await repeats a command until what it reads is as wanted.
func (n *node) await(ctx context.Context, into any, done func() bool, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := n.call(ctx, into, args...)
		if err == nil && done() {
			return nil
		}
		select {
		case <-ctx.Done():
			said, _ := os.ReadFile(n.log.Name())
			return fmt.Errorf("waited %s: %w; last: %+v; its log:\n%s", patience, errors.Join(ctx.Err(), err), into, said)
		case <-time.After(time.Second):
		}
	}
}
