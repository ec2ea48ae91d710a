package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	apiv1 "parley/gen/parley/api/v1"
	"parley/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Show settings, their values and where they come from",
		Long: "A setting comes from a flag, else from the environment (PARLEY_SECTION_KEY), else from\nthe settings file, else it has its default. The running node keeps what it started with.",
		Example: `  parley config list
  parley config explain net.mdns
  PARLEY_NET_MDNS=off parley up
  $EDITOR "$(parley config path)"`,
		Args: a.unknownCommand,
	}
	list := &cobra.Command{
		Use: "list", Short: "List every setting",
		Example: "  parley config list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			return a.printSettings(cfg)
		},
	}
	explain := &cobra.Command{
		Use: "explain [key]", Short: "Explain one setting, or all",
		Example: "  parley config explain net.mdns",
		Args:    between(0, 1, "at most one setting"), ValidArgsFunction: completeKeys,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.explainSettings(cfg)
			}
			s, err := cfg.Setting(args[0])
			if err != nil {
				return settingsFailure(err)
			}
			return a.printSetting(s)
		},
	}
	path := &cobra.Command{
		Use: "path", Short: "Print where the settings file is looked for",
		Example: "  parley config path",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.settings()
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"path": cfg.File})
			}
			_, err = fmt.Fprintln(a.out, cfg.File)
			return err
		},
	}
	cmd.RunE = list.RunE
	cmd.AddCommand(list, explain, path)
	return cmd
}

// printSettings has the form of the API's ListConfig, which says the same of
// a running node.
func (a *app) printSettings(cfg *config.Config) error {
	res := &apiv1.ListConfigResponse{}
	var rows [][]cell
	for _, s := range cfg.Settings() {
		res.Settings = append(res.Settings, &apiv1.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin, Help: s.Help})
		rows = append(rows, []cell{{s.Key, bold}, {text: orDash(s.Value)}, {s.Origin, dim}})
	}
	if a.json {
		return a.print(res)
	}
	a.look.table(a.out, []string{"KEY", "VALUE", "ORIGIN"}, rows)
	return nil
}

// explainSettings says what each setting is for.
func (a *app) explainSettings(cfg *config.Config) error {
	if a.json {
		return a.printSettings(cfg)
	}
	var rows [][]cell
	for _, s := range cfg.Settings() {
		rows = append(rows, []cell{{s.Key, bold}, {text: orDash(s.Value)}, {text: s.Help}})
	}
	a.look.table(a.out, []string{"KEY", "VALUE", "MEANING"}, rows)
	return nil
}

func (a *app) printSetting(s config.Setting) error {
	if a.json {
		return a.print(&apiv1.Setting{Key: s.Key, Value: s.Value, Origin: s.Origin, Help: s.Help})
	}
	a.look.table(a.out, nil, [][]cell{
		{{s.Key, bold}, {text: s.Help}},
		{{"Value", dim}, {text: orDash(s.Value)}},
		{{"Origin", dim}, {text: s.Origin}},
		{{"Takes", dim}, {text: s.Takes}},
		{{"Environment", dim}, {text: s.Env}},
	})
	return nil
}

// completeKeys offers setting names.
func completeKeys(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var out []string
	for _, s := range new(config.Config).Settings() {
		out = append(out, s.Key+"\t"+s.Help)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// completeSettings offers setting names before an equals sign.
func completeSettings(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	out, _ := completeKeys(cmd, args, typed)
	for i, s := range out {
		out[i] = strings.Replace(s, "\t", "=\t", 1)
	}
	return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
