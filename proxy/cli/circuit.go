package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"

	"outrider/policy"

	"github.com/spf13/cobra"
)

func (c *commands) circuitCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "circuit",
		Short: "Open or close the circuits of an upstream by hand",
		Long: "circuit tells a running Outrider to refuse the calls of an upstream, or to let them through\n" +
			"again at once, whatever it found out itself. It is in force over reloads, until Outrider ends.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("what? %s open or close", cmd.CommandPath())}
		},
	}
	key := command.PersistentFlags().String("key", "", "of one circuit, as outrider status shows it (default: all of the upstream, those to come too)")
	open := &cobra.Command{
		Use: "open UPSTREAM", Short: "Refuse its calls with circuit-open", Args: cobra.ExactArgs(1),
		Long:    "open refuses the calls until outrider circuit close, or for a time, after which a probe decides.",
		Example: "  outrider circuit open crm --for 30m\n  outrider circuit open crm --key \"api.crm.com acme\"",
	}
	length := open.Flags().Duration("for", 0, "how long, such as 30m (default: until it is closed)")
	open.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := circuitsMeant(cmd, args[0], *key)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("for") {
			if *length <= 0 {
				return usageError{fmt.Errorf("--for %s: must be longer than 0", *length)}
			}
			query.Set("for", length.String())
		}
		return c.orderCircuit(cmd.Context(), "/api/circuit/open", query)
	}
	command.AddCommand(open, &cobra.Command{
		Use: "close UPSTREAM", Short: "Let all of its calls through, and count anew", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			query, err := circuitsMeant(cmd, args[0], *key)
			if err != nil {
				return err
			}
			return c.orderCircuit(cmd.Context(), "/api/circuit/close", query)
		},
	})
	return command
}

// circuitsMeant is which circuits a command means. An empty --key is one that got lost on its way
// here, and does not mean all.
func circuitsMeant(cmd *cobra.Command, upstream, key string) (url.Values, error) {
	query := url.Values{"upstream": {upstream}}
	if !cmd.Flags().Changed("key") {
		return query, nil
	}
	if key == "" {
		return nil, usageError{errors.New("--key is empty: name one circuit, or leave --key out for all")}
	}
	query.Set("key", key)
	return query, nil
}

// orderCircuit gives an order to the Outrider that runs, and shows what has come of it.
func (c *commands) orderCircuit(ctx context.Context, path string, query url.Values) error {
	way, err := c.adminWay()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	data, err := way.send(ctx, question{method: http.MethodPost, path: path, query: query})
	if err != nil {
		return err
	}
	var report policy.CircuitReport
	if err := json.Unmarshal(data, &report); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(report)
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, report.Upstream)
	printCircuits(w, report.Circuits)
	if len(report.Circuits) == 0 {
		fmt.Fprintln(w, "  circuit\tnone yet: those to come are closed")
	}
	return w.Flush()
}

func printCircuits(w io.Writer, circuits []policy.CircuitStatus) {
	printSome(w, "circuit", circuits, circuitUrgency, func(c policy.CircuitStatus) string {
		key := c.Key
		if key == policy.AllCircuits {
			key = "all, those to come too"
		}
		return key + "\t" + circuitState(c)
	})
}

// circuitState says of an open circuit whose time has passed what comes next.
func circuitState(c policy.CircuitStatus) string {
	switch {
	case c.Held:
		return "open, by an operator, until outrider circuit close"
	case c.State == "open" && c.Until == nil:
		return "open, the next call is its probe"
	case c.State == "open" && c.Cause == "operator":
		return "open" + until(" for ", c.Until) + ", by an operator"
	case c.Share > 0:
		return fmt.Sprintf("closed by a probe, %.0f%% of the calls pass so far", 100*c.Share)
	}
	state := c.State + until(" for ", c.Until)
	if c.Refused > 0 {
		state += ", " + count(c.Refused, "call") + " refused so far"
	}
	return state
}

// circuitUrgency has first what keeps most calls back.
func circuitUrgency(c policy.CircuitStatus) int {
	switch {
	case c.Key == policy.AllCircuits:
		return 4
	case c.State == "open":
		return 3
	case c.State == "half-open":
		return 2
	case c.Share > 0:
		return 1
	}
	return 0
}
