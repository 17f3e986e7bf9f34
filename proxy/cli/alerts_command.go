package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"outrider/proxy/alert"

	"github.com/spf13/cobra"
)

func (c *commands) alertsCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "alerts",
		Short: "List what somebody has to act upon, and who is told of it",
		Long: "alerts asks a running Outrider what is wrong now: since when, how many calls have met it, what\n" +
			"to do, and the trace of one of them; and how it goes with those whom alerts.notify names.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.alerts(cmd.Context()) },
	}
	command.AddCommand(&cobra.Command{
		Use: "test", Short: "Send a test message to everybody who is notified (exit code 0 only if all took it)", Args: noArgs,
		Long: "test has a running Outrider send a message to each of alerts.notify, at once, and says who took\n" +
			"it. At PagerDuty it makes an incident, and resolves it right after.",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.testAlerts(cmd.Context()) },
	})
	return command
}

// An alertsView is what alerts prints as JSON.
type alertsView struct {
	Alerts   []alert.Alert        `json:"alerts"`
	Notified []alert.TargetStatus `json:"notified"`
	HeldBack int                  `json:"held_back"`
}

func (c *commands) alerts(ctx context.Context) error {
	var status statusView
	if err := c.ask(ctx, "/api/status", nil, &status); err != nil {
		return err
	}
	view := alertsView{Alerts: status.Alerts, Notified: status.Notified, HeldBack: status.HeldBack}
	if c.json {
		view.Alerts, view.Notified = append([]alert.Alert{}, view.Alerts...), append([]alert.TargetStatus{}, view.Notified...)
		return c.printJSON(view)
	}
	writeAlerts(c.Stdout, view)
	return nil
}

func writeAlerts(w io.Writer, view alertsView) {
	if len(view.Alerts) == 0 {
		fmt.Fprintln(w, "nothing is wrong that somebody has to act upon")
	}
	for _, a := range view.Alerts {
		fmt.Fprintf(w, "%s %s for %s: %s\n  %s\n", strings.ToUpper(a.Severity), a.Rule, time.Since(a.Since).Round(time.Second), printable(a.Title), printable(a.Detail))
		if a.Action != "" {
			fmt.Fprintf(w, "  → %s\n", printable(a.Action))
		}
		if met := metText(a); met != "" {
			fmt.Fprintf(w, "  %s\n", met)
		}
	}
	fmt.Fprintln(w)
	if len(view.Notified) == 0 {
		fmt.Fprintln(w, "nobody is notified: alerts.notify is empty")
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, target := range view.Notified {
		fmt.Fprintf(table, "%s\t%s\t%s\n", targetName(i, target), target.Kind, targetState(target))
	}
	_ = table.Flush()
	if view.HeldBack > 0 {
		fmt.Fprintf(w, "%s held back by quiet hours\n", count(view.HeldBack, "alert"))
	}
}

// metText says which calls have met an alert.
func metText(a alert.Alert) string {
	var facts []string
	if a.Calls > 0 {
		facts = append(facts, count(a.Calls, "call"))
	}
	if a.Trace != "" {
		facts = append(facts, "such as trace "+a.Trace)
	}
	return strings.Join(facts, ", ")
}

// targetName names who is notified: the host, or the place in the list where that is not
// known yet.
func targetName(i int, t alert.TargetStatus) string {
	if t.Target == "" {
		return fmt.Sprintf("alerts.notify[%d]", i)
	}
	return t.Target
}

func targetState(t alert.TargetStatus) string {
	text := "not told of anything yet"
	if t.Last != nil {
		text = fmt.Sprintf("%s, the last %s ago", count(t.Sent, "message"), time.Since(*t.Last).Round(time.Second))
	}
	if t.Failing != nil {
		text += fmt.Sprintf("; FAILING for %s: %s", time.Since(*t.Failing).Round(time.Second), t.Error)
	}
	if t.Waiting > 0 {
		text += "; " + count(t.Waiting, "alert") + " waiting"
	}
	if t.Untold > 0 {
		text += "; " + count(t.Untold, "alert") + " not told"
	}
	return text
}

// testTimeout is longer than that of one message, of which PagerDuty gets two.
const testTimeout = 35 * time.Second

func (c *commands) testAlerts(ctx context.Context) error {
	way, err := c.adminWay()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	data, err := way.send(ctx, question{method: http.MethodPost, path: "/api/alerts/test"})
	if err != nil {
		return err
	}
	var results []alert.TestResult
	if err := json.Unmarshal(data, &results); err != nil {
		return err
	}
	if c.json {
		if err := c.printJSON(results); err != nil {
			return err
		}
	} else {
		writeResults(c.Stdout, results)
	}
	for i, r := range results {
		if r.Error != "" {
			return fmt.Errorf("%s did not take it: %s", targetName(i, alert.TargetStatus{Target: r.Target}), r.Error)
		}
	}
	return nil
}

func writeResults(w io.Writer, results []alert.TestResult) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i, r := range results {
		state := "took it"
		if r.Error != "" {
			state = r.Error
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", targetName(i, alert.TargetStatus{Target: r.Target}), r.Kind, state)
	}
	_ = table.Flush()
}
