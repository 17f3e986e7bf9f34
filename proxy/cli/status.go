package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"outrider/policy"
	"outrider/policy/config"
	"outrider/proxy/alarm"
	"outrider/proxy/alert"
	"outrider/proxy/telemetry"

	"github.com/spf13/cobra"
)

func (c *commands) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running Outrider (exit code 0 only if it is ready)",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.status(cmd.Context()) },
	}
}

func (c *commands) status(ctx context.Context) error {
	var view statusView
	if err := c.ask(ctx, "/api/status", nil, &view); err != nil {
		return err
	}
	if c.json {
		if err := c.printJSON(view); err != nil {
			return err
		}
	} else {
		printStatus(c.Stdout, view)
	}
	if !view.Ready {
		return fmt.Errorf("outrider is draining")
	}
	return nil
}

func printStatus(w io.Writer, view statusView) {
	state := "ready"
	if !view.Ready {
		state = "draining"
	}
	fmt.Fprintf(w, "outrider %s: %s at %s, configuration %s\n", view.Version, state, view.Listen[""], orBuiltIn(view.Config))
	if view.Reload != nil && view.Reload.Error != "" {
		fmt.Fprintf(w, "the last reload, %s ago, was refused:\n  %s\n",
			time.Since(view.Reload.Time).Round(time.Second), strings.ReplaceAll(view.Reload.Error, "\n", "\n  "))
	}
	printAlerts(w, slices.DeleteFunc(slices.Clone(view.Alerts), func(a alert.Alert) bool { return a.Rule == alarm.ReloadRefused })) // which is above, whole
	printUntold(w, view)
	if view.Authority != "" {
		fmt.Fprintf(w, "local certificate authority %s\n", view.Authority)
	}
	if view.Store != "" {
		fmt.Fprintf(w, "what is kept is in %s\n", view.Store)
	}
	for _, warning := range view.Warnings {
		fmt.Fprintln(w, "warning:", warning)
	}
	printOutbox(w, view)
	for _, lost := range view.Lost {
		fmt.Fprintf(w, "%s: %d dropped since %s, the last %s ago: %s\n", lost.Signal, lost.Dropped,
			lost.Since.Local().Format(time.DateTime), time.Since(lost.Last).Round(time.Second), printable(lost.Why))
	}
	if n := view.Capture.Tunnels; n > 0 {
		fmt.Fprintf(w, "%s by CONNECT\n", count(n, "open connection"))
	}
	if n := len(view.Capture.Observed); n > 0 {
		fmt.Fprintf(w, "%s reached that no upstream names: outrider observed\n", count(n, "host"))
	}
	if len(view.Upstreams) == 0 {
		fmt.Fprintln(w, noUpstreams)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, u := range view.Upstreams {
		fmt.Fprintf(table, "\n%s\t%s\t%.1f retries in the budget\n", u.Name, u.URL, u.Budget)
		if t, ok := view.Traffic[u.Name]; ok && t.Calls > 0 {
			fmt.Fprintf(table, "  calls\t%s in %.0f s\t%s\n", count(t.Calls, "call"), max(t.Seconds, 1), trafficText(t))
		}
		for _, c := range u.Credentials {
			fmt.Fprintf(table, "  credential\t%s\t%s\n", c.Name, credentialState(c))
		}
		printConnections(table, u.Connections)
		printSome(table, "quota", u.Quotas, quotaUrgency, quotaLine)
		printCircuits(table, u.Circuits)
		if letters := lettersOf(view.Outbox, u.Name); letters != nil {
			fmt.Fprintf(table, "  outbox\t%s\n", standingText(*letters))
		}
		if kept := u.Stale; kept != nil {
			kib := (kept.Bytes + 1<<10 - 1) >> 10 << 10
			fmt.Fprintf(table, "  kept\t%s\t%s of %s\n", count(kept.Answers, "answer"), config.Size(kib), config.Size(kept.Most))
		}
	}
	_ = table.Flush()
}

// trafficText tells of the calls of the last minute.
func trafficText(t telemetry.Traffic) string {
	text := fmt.Sprintf("p50 %s, p95 %s, p99 %s, %d sent", roughly(t.P50MS), roughly(t.P95MS), roughly(t.P99MS), t.Attempts)
	for _, part := range []struct {
		n    int
		name string
	}{{t.Failed, "failed"}, {t.Faults, "faults met"}, {t.Throttled, "throttled"}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %d %s", part.n, part.name)
		}
	}
	return text
}

// printAlerts shows the newest of what somebody has to do something about.
func printAlerts(w io.Writer, alerts []alert.Alert) {
	const most = 10
	for _, a := range alerts[:min(len(alerts), most)] {
		fmt.Fprintf(w, "ALERT for %s: %s: %s\n", time.Since(a.Since).Round(time.Second), printable(a.Title), printable(a.Detail))
	}
	if more := len(alerts) - most; more > 0 {
		fmt.Fprintf(w, "and %s: outrider alerts\n", count(more, "more alert"))
	}
}

// printUntold says of whom the alerts do not reach.
func printUntold(w io.Writer, view statusView) {
	for i, target := range view.Notified {
		if target.Failing != nil {
			fmt.Fprintf(w, "WARNING: alerts do not reach %s, for %s: %s\n", targetName(i, target), time.Since(*target.Failing).Round(time.Second), target.Error)
		}
	}
}

func (c *commands) explainCommand() *cobra.Command {
	command := &cobra.Command{
		Use:     "explain METHOD URL",
		Short:   "Say what would happen now to a call, and why",
		Long:    "explain asks a running Outrider. URL is one at the provider, one of our base URLs, or only the path of one (/github/user).",
		Example: "  outrider explain POST https://api.stripe.com/v1/charges\n  outrider explain GET /github/user/repos",
		Args:    cobra.ExactArgs(2),
	}
	connection := command.Flags().String("connection", "", "the connection that the call names (Outrider-Connection)")
	command.RunE = func(cmd *cobra.Command, args []string) error {
		return c.explain(cmd.Context(), args[0], args[1], *connection)
	}
	return command
}

func (c *commands) explain(ctx context.Context, method, target, connection string) error {
	var e policy.Explanation
	if err := c.ask(ctx, "/api/explain", url.Values{"method": {method}, "url": {target}, "connection": {connection}}, &e); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(e)
	}
	w := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s %s\n→ %s\n", e.Method, e.Target, e.Verdict)
	if e.Upstream != "" {
		printExplanation(w, e)
	}
	return w.Flush()
}

func printExplanation(w io.Writer, e policy.Explanation) {
	rule := e.Rule
	if rule == "" {
		rule = "none: the upstream's own settings"
	}
	credential := e.Credential
	if e.Token != nil {
		credential += ", " + credentialState(*e.Token)
	}
	fmt.Fprintf(w, "  upstream\t%s\n  rule\t%s\n  chain\t%s\n  credential\t%s\n  timeout\t%s\n",
		e.Upstream, rule, strings.Join(e.Chain, " → "), credential, shortDuration(e.Timeout))
	if e.Connection != "" {
		fmt.Fprintf(w, "  connection\t%s\n", e.Connection)
	}
	fmt.Fprintf(w, "  https by proxy\t%s\n", e.Captured)
	for _, q := range e.Quotas {
		fmt.Fprintf(w, "  quota\t%s\n", forecastText(q))
	}
	fmt.Fprintf(w, "  circuit\t%s, %s\n", e.Circuit.Key, circuitState(*e.Circuit))
	fmt.Fprintf(w, "  retries\t%s\n", e.Class)
	for _, r := range e.Retries {
		answer := "no"
		if r.Retry {
			answer = "yes"
		}
		fmt.Fprintf(w, "  \t%s: %s, %s\n", r.When, answer, r.Why)
	}
	if e.Hedge != "" {
		fmt.Fprintf(w, "  hedge\t%s\n", e.Hedge)
	}
	if e.Stale != "" {
		fmt.Fprintf(w, "  if it fails\tthe last good answer to the same request, if there is one that is at most %s old\n", shortDuration(e.Stale))
	}
	if e.Outbox != nil {
		printKeeping(w, *e.Outbox)
	}
	fmt.Fprintf(w, "  budget\t%.1f retries may be spent now\n", e.Budget)
}

// printKeeping says what the outbox would do with a call.
func printKeeping(w io.Writer, k policy.KeepForecast) {
	fmt.Fprintf(w, "  kept\t%s\n", k.When)
	if k.MaxAge == "" {
		return
	}
	fmt.Fprintf(w, "  \tthen it is sent for up to %s\n", shortDuration(k.MaxAge))
	if k.Key != "" {
		fmt.Fprintf(w, "  \tunder one %s, its caller's or its own, which is good for %s from its first use\n", k.Key, shortDuration(k.KeyAge))
	}
	fmt.Fprintf(w, "  \twhere nobody knows whether it was applied: %s\n", k.Again)
}

// shortDuration writes a duration as the configuration does: 1m, not 1m0s.
func shortDuration(text string) string {
	if d, err := time.ParseDuration(text); err == nil {
		return config.Duration(d).String()
	}
	return text
}
