package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/handover"

	"github.com/spf13/cobra"
)

// handoverTimeout bounds a hand-over: of many connections, each is on the disk before the
// next.
const handoverTimeout = 15 * time.Minute

// maxInput bounds what is read from standard input, as the API does.
const maxInput = 64 << 20

func (c *commands) connectionsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "connections",
		Short: "The connections of upstreams: one credential for each of your customers",
		Long: "connections lists, adds and removes the credentials that calls choose by the header\n" +
			"Outrider-Connection. It asks the Outrider that runs, or changes the store itself where none does.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("what? %s list, add or remove", cmd.CommandPath())}
		},
	}
	command.AddCommand(&cobra.Command{
		Use: "list [UPSTREAM]", Short: "List them, never with a value", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := connectionPath(args)
			if err != nil {
				return err
			}
			return c.withConnections(cmd.Context(), func(ctx context.Context, way adminWay) error {
				return c.listConnections(ctx, way, path)
			})
		},
	}, &cobra.Command{
		Use: "add UPSTREAM [NAME]", Short: "Add or replace one, or many, from standard input", Args: cobra.RangeArgs(1, 2),
		Long: "add reads JSON from standard input, so that no secret stands in the arguments. For one connection:\n" +
			"  {\"access_token\": \"…\", \"refresh_token\": \"…\", \"expires_in\": 3600}   of an upstream with oauth2\n" +
			"  {\"token\": \"…\"}                                                      with bearer, header, query, placeholder\n" +
			"  {\"username\": \"…\", \"password\": \"…\"}                                with basic\n" +
			"A \"url\" beside them says where the connection is: its calls go there, and its credential nowhere else.\n" +
			"Without NAME it reads many: a list, or a document on each line, each with its \"name\".",
		Example: "  outrider connections add crm acme < acme.json\n  outrider connections add crm < customers.ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := connectionPath(args)
			if err != nil {
				return err
			}
			return c.withConnections(cmd.Context(), func(ctx context.Context, way adminWay) error {
				return c.addConnections(ctx, way, path, args)
			})
		},
	}, &cobra.Command{
		Use: "remove UPSTREAM NAME", Short: "Remove one: calls that name it are refused from then on", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := connectionPath(args)
			if err != nil {
				return err
			}
			return c.withConnections(cmd.Context(), func(ctx context.Context, way adminWay) error {
				if _, err := way.send(ctx, question{method: http.MethodDelete, path: path}); err != nil {
					return err
				}
				return c.printResults([]handover.Result{{Name: args[1], Result: "removed"}}, args[0])
			})
		},
	})
	return command
}

// connectionPath is the address of what the arguments of a command name: all connections,
// those of an upstream, or one.
func connectionPath(args []string) (string, error) {
	if len(args) > 0 && (args[0] == "" || strings.Contains(args[0], "/")) {
		return "", usageError{fmt.Errorf("%q is not the name of an upstream", args[0])}
	}
	if len(args) > 1 && config.ConnectionName(args[1]) != "" {
		return "", usageError{fmt.Errorf("%q: %s", args[1], config.ConnectionName(args[1]))}
	}
	return "/api/connections/" + strings.Join(args, "/"), nil
}

// withConnections finds who answers: the Outrider that runs, or else the same handler on
// the store, here.
func (c *commands) withConnections(ctx context.Context, do func(context.Context, adminWay) error) error {
	ctx, cancel := context.WithTimeout(ctx, handoverTimeout)
	defer cancel()
	way, err := c.adminWay()
	if err != nil {
		return err
	}
	runs, err := c.neighbour(ctx)
	if err != nil {
		return err
	}
	if runs != nil || c.admin != "" {
		return do(ctx, way)
	}
	return c.atStore(func(set *policy.Set, _ *storage) error {
		handler := handover.Handler{Set: func() *policy.Set { return set }}
		return do(ctx, adminWay{address: "store", transport: inProcess{handler}})
	})
}

func (c *commands) listConnections(ctx context.Context, way adminWay, path string) error {
	var all []policy.ConnectionStatus
	query := url.Values{}
	for {
		data, err := way.send(ctx, question{path: strings.TrimSuffix(path, "/"), query: query})
		if err != nil {
			return err
		}
		var page handover.Page
		if err := json.Unmarshal(data, &page); err != nil {
			return err
		}
		all = append(all, page.Connections...)
		if page.Next == "" {
			break
		}
		query.Set("after", page.Next)
	}
	if c.json {
		return c.printJSON(handover.Page{Connections: append([]policy.ConnectionStatus{}, all...)})
	}
	if len(all) == 0 {
		_, err := fmt.Fprintln(c.Stdout, "no connections; outrider connections add UPSTREAM NAME takes one from standard input")
		return err
	}
	table := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	for _, status := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", status.Upstream, status.Name, status.From, connectionState(status)+connectionPlace(status))
	}
	return table.Flush()
}

// connectionState is the state of a connection in words.
func connectionState(s policy.ConnectionStatus) string {
	if s.From == "store" && s.State == "none" {
		text := "not used yet"
		if s.Obtained != nil {
			text += fmt.Sprintf(", handed over %s ago", time.Since(*s.Obtained).Round(time.Second))
		}
		return text
	}
	return credentialState(s.CredentialStatus)
}

// connectionPlace says where a connection is, if it says so itself.
func connectionPlace(s policy.ConnectionStatus) string {
	if s.URL == "" {
		return ""
	}
	return ", at " + s.URL
}

func (c *commands) addConnections(ctx context.Context, way adminWay, path string, args []string) error {
	if c.Stdin == nil {
		return usageError{errors.New("there is nothing on standard input; see outrider connections add --help")}
	}
	data, err := io.ReadAll(io.LimitReader(c.Stdin, maxInput+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading standard input: %w", err)
	case len(data) > maxInput:
		return usageError{fmt.Errorf("standard input has more than %d bytes; hand over in parts", maxInput)}
	}
	q := question{method: http.MethodPut, path: path, body: data, kind: "application/json"}
	if len(args) == 1 {
		q.method = http.MethodPost
		if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
			q.kind = "application/x-ndjson"
		}
	}
	answered, err := way.send(ctx, q)
	if err != nil {
		return err
	}
	var results []handover.Result
	for line := range bytes.Lines(answered) {
		var result handover.Result
		if err := json.Unmarshal(line, &result); err != nil {
			return fmt.Errorf("reading what %s answered: %w", way.address, err)
		}
		results = append(results, result)
	}
	return c.printResults(results, args[0])
}

// printResults says what became of connections; it fails if one could not be stored.
func (c *commands) printResults(results []handover.Result, upstream string) error {
	var failed error
	count := map[string]int{}
	for _, result := range results {
		count[result.Result]++
		if result.Error != "" {
			failed = fmt.Errorf("connection %s could not be stored, and those behind it were not tried: %s", result.Name, result.Error)
		}
	}
	switch {
	case c.json:
		if err := c.printJSON(results); err != nil {
			return err
		}
	case len(results) == 1 && failed == nil:
		fmt.Fprintf(c.Stdout, "connection %s of %s: %s\n", results[0].Name, upstream, results[0].Result)
	default:
		fmt.Fprintf(c.Stdout, "connections of %s: %d created, %d replaced\n", upstream, count["created"], count["replaced"])
	}
	return failed
}
