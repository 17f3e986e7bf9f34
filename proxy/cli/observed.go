package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"outrider/proxy"

	"github.com/spf13/cobra"
)

func (c *commands) observedCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "observed",
		Short: "List the hosts that applications reach and no upstream names, as configuration",
		Long: "observed asks a running Outrider whose configuration says forward.unlisted = \"observe\" which hosts\n" +
			"applications reached through it that no upstream names, and prints an [upstream] for each.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.printObserved(cmd.Context()) },
	}
}

func (c *commands) printObserved(ctx context.Context) error {
	var view statusView
	if err := c.ask(ctx, "/api/status", nil, &view); err != nil {
		return err
	}
	if c.json {
		if view.Capture.Observed == nil {
			view.Capture.Observed = []proxy.Observed{}
		}
		return c.printJSON(view.Capture)
	}
	if len(view.Capture.Observed) == 0 {
		fmt.Fprintln(c.Stdout, `# No host was observed. Is forward.unlisted = "observe", and does the application use Outrider as its proxy? See outrider doctor.`)
		return nil
	}
	writeObserved(c.Stdout, view)
	return nil
}

// writeObserved writes configuration: what was observed may be taken over as it
// is.
func writeObserved(w io.Writer, view statusView) {
	taken := make(map[string]bool) // names of upstreams
	for _, u := range view.Upstreams {
		taken[u.Name] = true
	}
	taken["outbox"] = true
	schemes := make(map[string]map[string]bool) // by which hosts were reached
	for _, seen := range view.Capture.Observed {
		if schemes[seen.Host] == nil {
			schemes[seen.Host] = make(map[string]bool)
		}
		schemes[seen.Host][seen.Scheme] = true
	}
	for _, seen := range view.Capture.Observed {
		both := len(schemes[seen.Host]) > 1
		// What is in a tunnel to a port that is no scheme's is a guess.
		guess := seen.Scheme == "https" && hasPort(seen.Host)
		switch {
		case both && guess: // the port speaks plain HTTP: that was seen
			continue
		case both && seen.Scheme == "http" && !hasPort(seen.Host): // a host belongs to one upstream
			fmt.Fprintf(w, "# %s to http://%s: with the upstream of https://%[2]s they go out by TLS, too\n\n", count(seen.Calls, "call"), seen.Host)
			continue
		case guess:
			fmt.Fprintf(w, "# by CONNECT: if it is plain HTTP that clients speak there, it has to be http://%s\n", seen.Host)
		}
		name := upstreamNameFor(seen.Host, taken)
		taken[name] = true
		times := "call"
		if seen.Scheme == "https" {
			times = "connection"
		}
		fmt.Fprintf(w, "# %s, the last at %s\n[upstream.%s]\nurl = \"%s://%s\"\n\n", count(seen.Calls, times),
			seen.Last.Format("2006-01-02 15:04:05"), name, seen.Scheme, seen.Host)
	}
	if view.Capture.Others > 0 {
		fmt.Fprintf(w, "# and %d calls to hosts beyond the first %d\n", view.Capture.Others, len(view.Capture.Observed))
	}
}

// hasPort reports whether an authority names its port.
func hasPort(authority string) bool {
	_, _, err := net.SplitHostPort(authority)
	return err == nil
}

var unnameable = regexp.MustCompile(`[^a-z0-9]+`)

// upstreamNameFor makes a name out of a host: the label that says most, "github"
// for api.github.com.
func upstreamNameFor(authority string, taken map[string]bool) string {
	host, _, err := net.SplitHostPort(authority)
	if err != nil {
		host = strings.Trim(authority, "[]")
	}
	name := host
	if _, err := netip.ParseAddr(host); err != nil {
		if labels := strings.Split(host, "."); len(labels) > 1 {
			name = labels[len(labels)-2]
		}
	}
	name = strings.Trim(unnameable.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if name == "" {
		name = "host"
	}
	for base, i := name, 2; taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	return name
}
