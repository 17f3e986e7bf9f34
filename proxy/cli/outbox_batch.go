package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"outrider/proxy/outbox"

	"github.com/spf13/cobra"
)

func (c *commands) outboxImportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Make a letter of each line of a file (- is standard input)", Args: cobra.ExactArgs(1),
		Long: "import reads NDJSON, a call a line:\n" +
			"  {\"method\": \"POST\", \"url\": \"https://api.crm.com/v1/orders\", \"json\": {\"id\": 17}}\n" +
			"  {\"method\": \"POST\", \"upstream\": \"crm\", \"path\": \"/v1/orders\", \"headers\": {\"Content-Type\": \"text/plain\"},\n" +
			"   \"body\": \"…\", \"connection\": \"acme\", \"order_key\": \"17\", \"dedup_key\": \"order-17\"}\n" +
			"All lines become letters, or none. A file that is imported again makes no letter twice: after an\n" +
			"interruption, do the same again. (\"body_base64\" is for what is no text.)",
		Example: "  outrider outbox import orders.ndjson && outrider outbox drain",
		RunE:    func(cmd *cobra.Command, args []string) error { return c.importLetters(cmd.Context(), args[0]) },
	}
}

func (c *commands) importLetters(ctx context.Context, name string) error {
	from, size, err := c.openLines(name)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	return c.withOutbox(ctx, true, func(way outboxWay) error {
		done, err := c.sendLines(ctx, way, from, size)
		if err != nil {
			return err
		}
		if c.json {
			return c.printJSON(done)
		}
		fmt.Fprintf(c.Stdout, "%s", countOf(done.Letters, "letter is kept", "letters are kept"))
		if done.Duplicates > 0 {
			fmt.Fprintf(c.Stdout, ", %s there already", countOf(done.Duplicates, "was", "were"))
		}
		fmt.Fprintln(c.Stdout)
		if way.sends {
			c.printSending(ctx, way)
		}
		return nil
	})
}

// sendLines has the lines of a file, which has so many bytes, become letters.
func (c *commands) sendLines(ctx context.Context, way outboxWay, from io.Reader, size int64) (outbox.Imported, error) {
	bar := newProgress(c.Stderr, "keeping")
	resp, err := way.open(ctx, question{method: http.MethodPost, path: outboxPath + "/import", kind: "application/x-ndjson",
		stream: &metered{from: from, tell: func(read int64) { bar.show(read, size, roundSize(read)) }}})
	bar.end()
	if err != nil {
		return outbox.Imported{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	var done outbox.Imported
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&done); err != nil {
		return outbox.Imported{}, fmt.Errorf("reading what %s answered: %w", way.address, err)
	}
	return done, nil
}

// printSending says how long it takes to send what waits now, as far as quotas and pace tell.
// The letters are kept, whether that can be said or not.
func (c *commands) printSending(ctx context.Context, way outboxWay) {
	var standing outbox.Standing
	if err := way.ask(ctx, question{}, &standing); err != nil {
		c.note("how long it takes to send them is not known: %v", err)
		return
	}
	for _, u := range standing.Upstreams {
		if u.Waiting > 0 {
			fmt.Fprintf(c.Stdout, "%s  %s\n", u.Upstream, waitingText(u))
		}
	}
}

// openLines opens what is imported, and says how long it is; 0: nobody knows.
func (c *commands) openLines(name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		if c.Stdin == nil {
			return nil, 0, usageError{errors.New("there is nothing on standard input")}
		}
		return io.NopCloser(c.Stdin), 0, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, usageError{err}
	}
	size := int64(0)
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return file, size, nil
}

// metered tells how much of a reader was read.
type metered struct {
	from io.Reader
	tell func(read int64)
	read int64
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.read += int64(n)
	m.tell(m.read)
	return n, err
}

func (c *commands) outboxExportCommand() *cobra.Command {
	var choice letterChoice
	command := &cobra.Command{
		Use: "export [ID…]", Short: "Write letters and their answers as NDJSON", Args: cobra.ArbitraryArgs,
		Example: "  outrider outbox export --state delivered --upstream crm > results.ndjson",
	}
	choice.flags(command)
	command.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := choice.query(cmd, args)
		if err != nil {
			return err
		}
		return c.exportLetters(cmd.Context(), query)
	}
	return command
}

func (c *commands) exportLetters(ctx context.Context, query url.Values) error {
	return c.withOutbox(ctx, false, func(way outboxWay) error {
		resp, err := way.open(ctx, question{path: outboxPath + "/export", query: query})
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if _, err := io.Copy(c.Stdout, resp.Body); err != nil {
			return fmt.Errorf("what was written is not all: %w", err)
		}
		return nil
	})
}

func (c *commands) outboxDrainCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "drain", Short: "Have all that waits sent now, and wait until nothing waits", Args: noArgs,
		Long: "drain has letters be due that wait for another attempt, and ends when none waits any more. Quotas,\n" +
			"circuits and the provider's own hints hold as ever.",
		Example: "  outrider outbox drain --upstream crm --timeout 1h",
	}
	upstream := command.Flags().String("upstream", "", "of one upstream only")
	timeout := command.Flags().Duration("timeout", 0, "give up after so long (default: never)")
	command.RunE = func(cmd *cobra.Command, _ []string) error {
		query := url.Values{}
		if cmd.Flags().Changed("upstream") {
			if *upstream == "" {
				return usageError{errors.New("--upstream is empty: leave it out for all")}
			}
			query.Set("upstream", *upstream)
		}
		if *timeout < 0 {
			return usageError{fmt.Errorf("--timeout %s: must be longer than 0", *timeout)}
		}
		ctx := cmd.Context()
		if *timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, *timeout, fmt.Errorf("letters wait still, after %s", *timeout))
			defer cancel()
		}
		return c.drainOutbox(ctx, query)
	}
	return command
}

// drainOutbox waits, and shows how it goes meanwhile.
func (c *commands) drainOutbox(ctx context.Context, query url.Values) error {
	admin, err := c.adminWay()
	if err != nil {
		return err
	}
	way, upstream := outboxWay{adminWay: admin, sends: true}, query.Get("upstream")
	watching, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	bar := newProgress(c.Stderr, "sending")
	go func() {
		defer close(watched)
		way.watchDrain(watching, upstream, bar)
	}()
	var standing outbox.Standing
	err = way.ask(ctx, question{method: http.MethodPost, path: "/drain", query: query}, &standing)
	stop()
	<-watched
	bar.end()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	if c.json {
		return c.printJSON(standing)
	}
	done := "nothing waits any more"
	if upstream != "" {
		done = "nothing of " + upstream + " waits any more"
		standing.Upstreams = slices.DeleteFunc(standing.Upstreams, func(u outbox.UpstreamStanding) bool { return u.Upstream != upstream })
	}
	fmt.Fprintln(c.Stdout, done)
	printStanding(c.Stdout, standing)
	return nil
}

// drainLook is how often a drain looks how far it is.
const drainLook = time.Second

// watchDrain shows how many letters are gone of those that waited first.
func (way outboxWay) watchDrain(ctx context.Context, upstream string, bar *progress) {
	if !bar.moving {
		return
	}
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	most := 0
	for {
		var standing outbox.Standing
		if err := way.ask(ctx, question{}, &standing); err == nil {
			waiting, eta := waitingOf(standing, upstream)
			most = max(most, waiting)
			text := count(waiting, "letter") + " left"
			if eta > 0 {
				text += ", about " + roughTime(eta)
			}
			bar.show(int64(most-waiting), int64(most), text)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// waitingOf is how many letters wait, and in how many seconds none will, as far as that is known.
func waitingOf(s outbox.Standing, upstream string) (waiting int, eta float64) {
	for _, u := range s.Upstreams {
		if upstream == "" || u.Upstream == upstream {
			waiting += u.Waiting
			eta = max(eta, u.ETA)
		}
	}
	return waiting, eta
}
