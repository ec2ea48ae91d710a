package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Main runs the command line and returns the exit code.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second signal ends the program at once: shutdown may be what hangs.
	defer context.AfterFunc(ctx, stop)()
	return newApp().run(ctx, args)
}
