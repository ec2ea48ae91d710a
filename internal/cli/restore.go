package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"parley/internal/chat"
)

const phraseWords = 24

func (a *app) restoreCommand() *cobra.Command {
	show := false
	cmd := &cobra.Command{
		Use: "restore", Short: "Bring your account back from its 24 words",
		Long:    "Restore asks for the words at a prompt, or reads them from a pipe; never as an\nargument, which other users of this machine could read. The data folder must be new.",
		Example: "  parley restore\n  parley restore < words.txt\n  parley --data ~/second restore",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			f := usage("the words are not taken as arguments: they would stand in the shell's history and the process list")
			f.hint = "run `parley restore` alone and type them, and clear that line from the history"
			return f
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.restore(cmd, show) },
	}
	cmd.Flags().BoolVar(&show, "show", false, "show the words while they are typed")
	return cmd
}

func (a *app) restore(cmd *cobra.Command, show bool) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	up, err := a.running(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if up {
		return &failure{code: exitConflict, reason: "RUNNING", what: "a node with an account runs here; nothing was changed", hint: "choose another folder with --data, or stop it and move its data away"}
	}
	empty, err := emptyFolder(cfg.Data.Dir)
	if err != nil {
		return fmt.Errorf("looking at the data folder: %w", err)
	}
	if !empty {
		return &failure{code: exitConflict, reason: "NOT_EMPTY", what: cfg.Data.Dir + " already holds data; nothing was changed", hint: "choose another folder with --data, or move the old one away"}
	}
	phrase, err := a.readPhrase(show)
	if err != nil {
		return err
	}
	err = a.restoreAccount(cmd.Context(), cfg, phrase)
	if errors.Is(err, chat.ErrInvalid) {
		return &failure{code: exitUsage, reason: "INVALID", what: err.Error(), hint: "compare the words with what you wrote down", err: err}
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]string{"dataFolder": cfg.Data.Dir})
	}
	a.note("Your account is back in %s. Start it with `parley`.", cfg.Data.Dir)
	return nil
}

// readPhrase takes the words from a prompt, hidden, or from a pipe. Upper
// case, line ends and the numbers of a printed list do not matter.
func (a *app) readPhrase(show bool) (string, error) {
	var raw string
	switch {
	case !a.inTTY:
		all, err := io.ReadAll(io.LimitReader(a.in, maxWords))
		if err != nil {
			return "", fmt.Errorf("reading the words: %w", err)
		}
		raw = string(all)
	case a.noInput:
		return "", usage("the words are needed, and --no-input forbids to ask; pipe them in")
	default:
		var err error
		if raw, err = a.askHidden("Your 24 words, with spaces between: ", show); err != nil {
			return "", err
		}
	}
	words := phraseOf(raw)
	if len(words) != phraseWords {
		f := usage("a phrase has %d words, not %d; nothing was changed", phraseWords, len(words))
		f.hint = "type all words in their order, with spaces between"
		return "", f
	}
	return strings.Join(words, " "), nil
}

// phraseOf drops what is not a word, such as numbers before the words.
func phraseOf(raw string) []string {
	return strings.FieldsFunc(strings.ToLower(raw), func(r rune) bool { return r < 'a' || r > 'z' })
}

func (a *app) askHidden(question string, show bool) (string, error) {
	file, ok := a.in.(*os.File)
	if show || !ok {
		return a.ask(question)
	}
	fmt.Fprint(a.err, question)
	line, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return "", fmt.Errorf("reading the words: %w", err)
	}
	return string(line), nil
}

// emptyFolder reports a folder that is missing or holds nothing.
func emptyFolder(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(entries) == 0, err
}
