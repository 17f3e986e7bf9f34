package cli

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"outrider/policy/config"
	"outrider/policy/preset"

	"github.com/spf13/cobra"
)

func (c *commands) presetsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "presets [NAME]",
		Short: "List the providers that are known, or print what is known of one as configuration",
		Long: "presets lists what may stand behind preset = in an [upstream]. With a name it prints what that one\n" +
			"stands for, as configuration that may be pasted, with notes about the provider's peculiarities.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.listPresets()
			}
			return c.printPreset(args[0])
		},
	}
}

// presetView is one line of the list, for programs.
type presetView struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	URL        string   `json:"url,omitempty"` // "": the user's to write
	Auth       []string `json:"auth"`          // types of credentials, the default first
	VerifiedOn string   `json:"verified_on"`
}

func (c *commands) listPresets() error {
	var views []presetView
	for _, name := range preset.Names() {
		p, _ := preset.Find(name)
		views = append(views, presetView{p.Name, p.Title, p.URL(), p.AuthTypes(), p.VerifiedOn})
	}
	if c.json {
		return c.printJSON(views)
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "preset\tprovider\turl\tauth\tverified")
	for _, v := range views {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Name, v.Title, cmp.Or(v.URL, "your own"), strings.Join(v.Auth, ", "), v.VerifiedOn)
	}
	return w.Flush()
}

func (c *commands) printPreset(name string) error {
	p, err := config.FindPreset(name)
	if err != nil {
		return usageError{fmt.Errorf("the preset %q: %w", name, err)}
	}
	if c.json {
		return c.printJSON(p)
	}
	_, err = fmt.Fprint(c.Stdout, p.TOML())
	return err
}

// presetText says where the defaults of an upstream came from; "" for the general ones.
func presetText(u *config.Upstream) string {
	p, ok := preset.Find(u.Preset)
	if !ok {
		return ""
	}
	return p.Name + ", verified " + p.VerifiedOn
}
