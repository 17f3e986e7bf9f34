package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"outrider/policy/config"
	"outrider/proxy/clients"
	"outrider/proxy/intercept"

	"github.com/spf13/cobra"
)

func (c *commands) envCommand() *cobra.Command {
	shell, placeholders := "", false
	command := &cobra.Command{
		Use:   "env",
		Short: "Print the variables that take any client through Outrider",
		Long: "env prints the variables that outrider exec gives to its command, for a shell or a file: proxy and\n" +
			"certificate authority, in every spelling that some client reads. They lead to the Outrider that\n" +
			"runs, or to the address in the configuration if none answers.\n\n" +
			"With an access_key in the configuration the proxy's URL holds that key: whoever sees what is\n" +
			"printed can use the proxy.\n\n" +
			"Some variables name files in the state directory. For a container (docker, kubernetes) mount that\n" +
			"directory at the same path, and have 127.0.0.1 be where Outrider is: a sidecar in the same pod, or\n" +
			"--network host.",
		Example: "  eval \"$(outrider env)\"\n" +
			"  outrider env --shell fish | source\n" +
			"  outrider env --shell powershell | Out-String | Invoke-Expression\n" +
			"  outrider env --json   # with who reads what",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.env(cmd.Context(), shell, placeholders) },
	}
	command.Flags().StringVar(&shell, "shell", "", strings.Join(clients.Shells(), ", ")+" (default: by $SHELL)")
	command.Flags().BoolVar(&placeholders, "placeholders", false, placeholdersHelp)
	return command
}

func (c *commands) env(ctx context.Context, shell string, placeholders bool) error {
	if shell == "" {
		shell = ownShell()
	}
	if _, err := clients.Render(nil, shell); err != nil {
		return usageError{err}
	}
	path, _, file, err := c.file()
	if err != nil {
		return err
	}
	running, err := c.neighbour(ctx)
	if err != nil {
		return err
	}
	d, err := c.door(file, running)
	if err != nil {
		return err
	}
	variables, err := c.variables(d)
	if err != nil {
		return err
	}
	if running == nil {
		c.note("nothing answers yet: these lead to %s, where outrider run will listen", d.listen)
	} else {
		c.noteNeighbour(running, path)
	}
	if placeholders {
		variables = append(variables, placeholderVariables(file, os.LookupEnv)...)
	}
	if c.json {
		return c.printJSON(variables)
	}
	text, err := clients.Render(variables, shell)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(c.Stdout, text)
	return err
}

// ownShell is the name under which we know the user's shell.
func ownShell() string {
	switch filepath.Base(os.Getenv("SHELL")) {
	case "fish":
		return "fish"
	case "pwsh":
		return "powershell"
	case ".": // there is no SHELL where PowerShell is at home
		if os.Getenv("PSModulePath") != "" {
			return "powershell"
		}
	}
	return "sh"
}

// variables are those that take clients to a door.
func (c *commands) variables(d door) ([]clients.Variable, error) {
	address, err := reachable(d.listen)
	if err != nil {
		return nil, err
	}
	proxy := url.URL{Scheme: "http", Host: address}
	if d.key != "" {
		proxy.User = url.UserPassword("outrider", d.key)
	}
	settings := clients.Settings{Proxy: proxy.String(), NoProxy: os.Getenv("no_proxy") + "," + os.Getenv("NO_PROXY")}
	if strings.Contains(","+strings.ReplaceAll(settings.NoProxy, " ", "")+",", ",*,") {
		c.note("NO_PROXY says *: no client will come to Outrider")
	}
	if d.files != "" {
		// As the certificate authority makes it, should we be the first.
		if err := os.MkdirAll(d.files, 0o700); err != nil {
			return nil, fmt.Errorf("making the state directory: %w", err)
		}
		settings.Dir = filepath.Join(d.files, "clients")
	}
	if d.trust != "" {
		trust, err := intercept.Open(d.trust).Trust(systemRoots(d.trust))
		if err != nil {
			return nil, fmt.Errorf("preparing what clients have to trust: %w", err)
		}
		settings.Root, settings.Bundle, settings.CertDir = trust.Root, trust.Bundle, trust.CertDir
		settings.Java, settings.JavaPassword = trust.Java, trust.JavaPassword
	}
	return clients.Variables(settings)
}

// systemRoots is the file of roots that the caller wants for the system's; "":
// nothing but what an earlier call of ours has said.
func systemRoots(stateDir string) string {
	file := os.Getenv("SSL_CERT_FILE")
	if inside, err := filepath.Rel(stateDir, file); err == nil && filepath.IsLocal(inside) {
		return ""
	}
	if _, err := os.Stat(file); err != nil {
		return "" // whoever named it had no roots either, and must not lose ours
	}
	return file
}

const placeholdersHelp = "give outrider-placeholder-NAME in place of the secrets (env:…) of upstreams, and no secret of Outrider's own"

// placeholderVariables are variables in place of those that hold secrets which
// the configuration names. Secrets of Outrider's own are given as empty.
func placeholderVariables(file *config.File, environ func(string) (string, bool)) []clients.Variable {
	values, drop := placeholders(file)
	var variables []clients.Variable
	for _, name := range sortedKeys(values) {
		variables = append(variables, clients.Variable{Name: name, Value: values[name], Readers: "your program, in place of the secret"})
	}
	for _, name := range drop {
		if _, set := environ(name); set {
			variables = append(variables, clients.Variable{Name: name, Readers: "nobody: it held a secret of Outrider"})
		}
	}
	return variables
}
