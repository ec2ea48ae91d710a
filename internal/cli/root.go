package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"parley/internal/config"
)

// Examples stand before everything else: most readers want a line to copy.
const helpTemplate = `{{with (or .Long .Short)}}{{. | trimTrailingWhitespaces}}
{{end}}{{if .HasExample}}
Examples:
{{.Example}}
{{end}}
Usage:
{{if .Runnable}}  {{.UseLine}}
{{end}}{{if .HasAvailableSubCommands}}  {{.CommandPath}} [command]
{{range $g := .Groups}}
{{$g.Title}}
{{range $.Commands}}{{if and (eq .GroupID $g.ID) .IsAvailableCommand}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}{{end}}{{if not .Groups}}
Commands:
{{range .Commands}}{{if .IsAvailableCommand}}  {{rpad .Name .NamePadding}} {{.Short}}
{{end}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}{{if .HasAvailableInheritedFlags}}
Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{end}}`

const (
	groupTalk   = "talk"
	groupPeople = "people"
	groupNode   = "node"
)

// root builds the whole command tree.
func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parley",
		Short: "Peer-to-peer chat: start your node and open its page",
		Long:  "Parley is peer-to-peer chat: every node is client and server.\nAlone, parley starts your node and opens its page.",
		Example: `  parley                          start and open the page
  parley demo                     try a whole small network on this machine
  parley contact add parley:c/…   add somebody by their link
  parley send maya "see you at nine"
  parley read maya`,
		SilenceErrors: true, SilenceUsage: true,
		Args: a.unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.openOrStart(cmd) },
	}
	cmd.AddGroup(
		&cobra.Group{ID: groupTalk, Title: "Talk:"},
		&cobra.Group{ID: groupPeople, Title: "You and others:"},
		&cobra.Group{ID: groupNode, Title: "Node:"},
	)
	for _, g := range []struct {
		id   string
		cmds []*cobra.Command
	}{
		{groupTalk, []*cobra.Command{a.sendCommand(), a.readCommand(), a.watchCommand(), a.conversationsCommand(), a.searchCommand(), a.whyCommand()}},
		{groupPeople, []*cobra.Command{a.idCommand(), a.contactCommand(), a.blockCommand(), a.restoreCommand()}},
		{groupNode, []*cobra.Command{a.upCommand(), a.stopCommand(), a.statusCommand(), a.doctorCommand(), a.netCommand(), a.mailCommand(), a.configCommand(), a.tokenCommand(), a.apiCommand(), a.demoCommand(), a.versionCommand()}},
	} {
		for _, c := range g.cmds {
			c.GroupID = g.id
			cmd.AddCommand(c)
		}
	}
	cmd.SetCompletionCommandGroupID(groupNode)
	cmd.SetHelpCommandGroupID(groupNode)
	a.globalFlags(cmd)
	a.node.add(cmd.Flags())
	cmd.Flags().Bool("version", false, "print the version")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if v, _ := cmd.Flags().GetBool("version"); v {
			cmd.RunE = func(*cobra.Command, []string) error { return a.printVersion() }
		}
		return nil
	}
	cmd.SetIn(a.in)
	cmd.SetOut(a.out)
	cmd.SetErr(a.err)
	cmd.SetHelpTemplate(helpTemplate)
	cmd.SetFlagErrorFunc(flagError)
	cmd.InitDefaultHelpCmd()
	cmd.InitDefaultCompletionCmd()
	strict(cmd)
	return cmd
}

func (a *app) globalFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.BoolVar(&a.json, "json", false, "print proto JSON; one object per line when streaming")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "print data and errors only")
	f.BoolVar(&a.noInput, "no-input", false, "never ask, even on a terminal")
	f.StringVar(&a.configFile, "config", "", "settings `file`")
	f.StringVar(&a.data, "data", "", "data `folder`; tells nodes of one machine apart")
	f.StringVar(&a.socket, "socket", "", "socket `path` of the node")
	f.StringArrayVar(&a.set, "set", nil, "override one setting, `key=value` (repeatable)")
	_ = cmd.RegisterFlagCompletionFunc("set", completeSettings)
}

// flagError turns a fault in the flags into a usage error that names the
// nearest flag.
func flagError(cmd *cobra.Command, err error) error {
	f := usage("%v", err)
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f.what = badValue(bad)
	}
	f.hint = "`" + cmd.CommandPath() + " --help` shows the flags"
	if rest, ok := strings.CutPrefix(err.Error(), "unknown flag: --"); ok {
		var names []string
		cmd.Flags().VisitAll(func(fl *pflag.Flag) { names = append(names, fl.Name) })
		if near := config.Nearest(rest, names); near != "" {
			f.hint = "did you mean --" + near + "?"
		}
	}
	return f
}

// badValue names what a flag takes, where its type alone decides.
func badValue(bad *pflag.InvalidValueError) string {
	takes := ""
	switch bad.GetFlag().Value.Type() {
	case "int", "uint32":
		takes = "a whole number"
	case "duration":
		takes = "a time such as 30s or 1m"
	case "bool":
		takes = "true or false"
	default:
		return fmt.Sprintf("--%s %v", bad.GetFlag().Name, bad.Unwrap())
	}
	return fmt.Sprintf("--%s takes %s, not %q", bad.GetFlag().Name, takes, bad.GetValue())
}

// strict makes every command's argument faults usage errors.
func strict(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if check := c.Args; check != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				err := check(cmd, args)
				if _, ours := err.(*failure); err == nil || ours { //nolint:errorlint // returned bare by our own checks
					return err
				}
				f := usage("%v", err)
				f.hint = "`" + cmd.CommandPath() + " --help` shows examples"
				return f
			}
		}
		strict(c)
	}
}

// unknownCommand is the argument check of a command that has others below.
func (a *app) unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	f := usage("%q has no command %q", cmd.CommandPath(), args[0])
	f.hint = "`" + cmd.CommandPath() + " --help` lists the commands"
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	if near := config.Nearest(args[0], names); near != "" {
		f.hint = "did you mean `" + cmd.CommandPath() + " " + near + "`?"
	}
	return f
}

// between is an argument count in words.
func between(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		f := usage("`%s` takes %s", cmd.CommandPath(), what)
		f.hint = "`" + cmd.CommandPath() + " --help` shows examples"
		return f
	}
}
