package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// errNoBrowser says that nobody would see a window.
var errNoBrowser = errors.New("no browser can be opened here")

// openBrowser asks the desktop to show a local file. It returns before the
// browser is up.
func openBrowser(ctx context.Context, file string) error {
	name, args := "xdg-open", []string{file}
	switch runtime.GOOS {
	case "darwin":
		name = "open"
	case "windows":
		name, args = "rundll32", []string{"url.dll,FileProtocolHandler", file}
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return errNoBrowser
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return errNoBrowser
	}
	if err := exec.CommandContext(ctx, path, args...).Run(); err != nil {
		return fmt.Errorf("opening the browser: %w", err)
	}
	return nil
}
