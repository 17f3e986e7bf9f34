package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"outrider/proxy/clients"

	"github.com/spf13/cobra"
)

// Bounds of a doctor: clients at a time, and the time that each call may take.
// More at a time would only make the slow ones, which are compilers, slower.
const (
	doctorAtOnce = 3
	doctorLimit  = 10 * time.Second
)

func (c *commands) doctorCommand() *cobra.Command {
	call := ""
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Prove, for each HTTP client on this machine, that its calls come to Outrider",
		Long: "doctor makes two calls with each client that is installed, http:// and https://, in the environment\n" +
			"of outrider exec, to hosts that exist nowhere but in an Outrider which doctor starts for itself. What\n" +
			"arrives there has come through the proxy; what that one saw decides, not what the client says.\n" +
			"The certificate authority is the real one of this machine. It ends with 1 if a call did not arrive.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if call != "" {
				return goCall(cmd.Context(), call)
			}
			return c.doctor(cmd.Context())
		},
	}
	command.Flags().StringVar(&call, "call", "", "be the client that is written in Go")
	_ = command.Flags().MarkHidden("call") // there is such a flag
	return command
}

// goCall is the call of a program in Go that knows nothing of proxies. We are one.
func goCall(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %s", resp.Status)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// A finding is what became of the calls of one client.
type finding struct {
	Client string            `json:"client"`
	Calls  map[string]string `json:"calls"` // "http", "https" → verdict
	Note   string            `json:"note,omitempty"`
	Said   string            `json:"said,omitempty"` // by the client, of a call that did not arrive
	Fix    string            `json:"fix,omitempty"`
}

func (f finding) healthy() bool {
	return f.Calls["http"] == arrived && f.Calls["https"] == arrived
}

// examination is all that a doctor found.
type examination struct {
	Healthy bool      `json:"healthy"`
	Clients []finding `json:"clients"`
	Missing []string  `json:"not_installed"`
	Notes   []string  `json:"notes,omitempty"`
}

func (c *commands) doctor(ctx context.Context) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	w, err := c.openWard(ctx, []string{program, "doctor", "--call"})
	if err != nil {
		return err
	}
	defer w.close()
	found := w.examine(ctx, clients.Probes())
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted")
	}
	if c.json {
		err = c.printJSON(found)
	} else {
		printExamination(c.Stdout, found)
	}
	if err == nil && !found.Healthy {
		err = exitStatus(exitFailed)
	}
	return err
}

// examine probes clients side by side, and reports in their order.
func (w *ward) examine(ctx context.Context, probes []clients.Probe) examination {
	findings := make([]*finding, len(probes))
	var running sync.WaitGroup
	turns := make(chan struct{}, doctorAtOnce)
	for i, probe := range probes {
		running.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			findings[i] = w.probe(ctx, probe)
		})
	}
	running.Wait()
	e := examination{Healthy: true, Clients: []finding{}, Missing: []string{}, Notes: w.notes}
	for i, f := range findings {
		if f == nil {
			e.Missing = append(e.Missing, probes[i].Client)
			continue
		}
		e.Clients = append(e.Clients, *f)
		e.Healthy = e.Healthy && f.healthy()
	}
	return e
}

func printExamination(w io.Writer, e examination) {
	name, first := len("client"), len("http://")
	for _, f := range e.Clients {
		name, first = max(name, len(f.Client)), max(first, len(f.Calls["http"]))
	}
	fmt.Fprintf(w, "%-*s  %-*s  %s\n", name, "client", first, "http://", "https://")
	for _, f := range e.Clients {
		line := fmt.Sprintf("%-*s  %-*s  %s", name, f.Client, first, f.Calls["http"], f.Calls["https"])
		if f.Note != "" {
			line += "     " + f.Note
		}
		fmt.Fprintln(w, line)
		if f.Said != "" {
			fmt.Fprintf(w, "%-*s  said: %s\n", name, "", f.Said)
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "%-*s  → %s\n", name, "", f.Fix)
		}
	}
	if len(e.Missing) > 0 {
		fmt.Fprintln(w, "not installed:", strings.Join(e.Missing, ", "))
	}
	for _, note := range e.Notes {
		fmt.Fprintln(w, "note:", note)
	}
}
