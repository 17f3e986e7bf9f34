package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"outrider/proxy/telemetry"
)

func (c *commands) topCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "top",
		Short: "Show upstreams and calls live, in a terminal",
		Long: "top shows the upstreams of a running Outrider, those in trouble and the busiest first, and its calls\n" +
			"as they end. Rates and durations are those of the last minute; SENT is requests on the wire for each call.\n" +
			"The filter has the words of outrider tail.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isTerminal(c.Stdout) {
				return usageError{fmt.Errorf("top needs a terminal; elsewhere: outrider status, outrider tail")}
			}
			return c.top(cmd.Context())
		},
	}
}

func (c *commands) top(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var first statusView
	if err := c.ask(ctx, "/api/status", nil, &first); err != nil { // what is wrong is told before the screen is taken
		return err
	}
	model := &top{screen: screen{paint: paintFor(c.Stdout), status: first}, refilter: make(chan string, 1)}
	program := tea.NewProgram(model, tea.WithContext(ctx), tea.WithOutput(c.Stdout), tea.WithInput(c.Stdin), tea.WithoutSignalHandler())
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		c.feedTop(ctx, model.refilter, program.Send)
	}()
	_, err := program.Run()
	if ctx.Err() != nil {
		err = nil // it was told to end
	}
	cancel()
	<-followed
	return err
}

// feedTop sends what happens to the program, and begins anew with each filter.
func (c *commands) feedTop(ctx context.Context, filters <-chan string, send func(tea.Msg)) {
	filter := ""
	for ctx.Err() == nil {
		stream, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.followTop(stream, filter, send)
		}()
		select {
		case filter = <-filters:
		case <-ctx.Done():
		}
		stop()
		<-ended
	}
}

// followTop follows until ctx ends.
func (c *commands) followTop(ctx context.Context, filter string, send func(tea.Msg)) {
	query := url.Values{"filter": {filter}}
	opened := func() error {
		var calls []telemetry.Record
		if err := c.ask(ctx, "/api/calls", query, &calls); err != nil {
			return err
		}
		send(latestCalls{filter, calls})
		return nil
	}
	for ctx.Err() == nil {
		err := c.follow(ctx, query, opened, func(e event) error { send(e); return nil }, func(err error) { send(streamLost{err}) })
		if err == nil {
			return
		}
		send(streamLost{err}) // not even the first came about
		select {
		case <-ctx.Done():
		case <-time.After(reconnectAfter):
		}
	}
}

type (
	// latestCalls are those that a filter takes, the newest first.
	latestCalls struct {
		filter string
		calls  []telemetry.Record
	}
	streamLost struct{ error }
)

// maxShown is how many calls top remembers.
const maxShown = 200

// top is the model of the screen.
type top struct {
	screen
	refilter chan string // the filter that is wanted; only the latest counts
	asked    string      // the latest that was
	listed   string      // that of the calls that are listed
}

// Init does nothing: what happens is sent.
func (t *top) Init() tea.Cmd { return nil }

// View gives the screen.
func (t *top) View() tea.View {
	view := tea.NewView(strings.Join(t.lines(), "\n"))
	view.AltScreen = true
	view.WindowTitle = "outrider top"
	return view
}

// Update learns what has happened.
func (t *top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		return t, t.key(msg)
	case latestCalls:
		t.list(msg)
	case streamLost:
		t.lost = "no answer: " + printable(msg.Error())
	case event:
		t.learn(msg)
	}
	return t, nil
}

// list shows calls in place of those before. While it is paused these stay, but for other
// ones that were asked for: a stream that has begun anew is no reason to take away what
// somebody reads.
func (t *top) list(latest latestCalls) {
	t.lost = ""
	if t.paused && len(t.calls) > 0 && latest.filter == t.listed {
		return
	}
	t.listed = latest.filter
	t.calls = latest.calls[:min(len(latest.calls), maxShown)]
}

// learn takes an event over. What cannot be read is of another version: the next is.
func (t *top) learn(e event) {
	t.lost = ""
	switch e.name {
	case "status":
		var status statusView
		if json.Unmarshal(e.data, &status) == nil {
			t.status = status
		}
	case "calls":
		var found callsEvent
		if json.Unmarshal(e.data, &found) == nil && !t.paused {
			t.prepend(found.Calls)
		}
	}
}

// prepend adds calls, the oldest first, but none that is there: one that ended while the
// latest were asked for is among these, too.
func (t *top) prepend(calls []telemetry.Record) {
	if len(t.calls) > 0 {
		newest := t.calls[0].Number
		calls = slices.DeleteFunc(calls, func(r telemetry.Record) bool { return r.Number <= newest })
	}
	slices.Reverse(calls)
	t.calls = append(calls, t.calls...)
	t.calls = t.calls[:min(len(t.calls), maxShown)]
}

// key does what a key stands for.
func (t *top) key(key tea.KeyPressMsg) tea.Cmd {
	if t.editing {
		t.edit(key)
		return nil
	}
	switch key.String() {
	case "q", "ctrl+c":
		return tea.Quit
	case "up", "k":
		t.move(-1)
	case "down", "j":
		t.move(1)
	case "enter":
		if t.selected != "" {
			t.use("upstream:" + t.selected)
		}
	case "f":
		t.use("failed")
	case "/":
		t.editing = true
	case "p":
		if t.paused = !t.paused; !t.paused {
			t.ask(t.asked) // for what has ended meanwhile
		}
	case "esc":
		t.selected = ""
		t.use("")
	}
	return nil
}

// edit changes the filter.
func (t *top) edit(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		t.editing = false
		t.use(t.filter)
	case "esc", "ctrl+c":
		t.editing = false
		t.use("")
	case "backspace":
		runes := []rune(t.filter)
		t.filter = string(runes[:max(len(runes)-1, 0)])
	default:
		t.filter += key.Text
	}
}

// use has the calls be those that a filter takes.
func (t *top) use(filter string) {
	t.filter, t.unusable = filter, ""
	if _, err := telemetry.ParseFilter(filter); err != nil {
		t.unusable = err.Error()
		return
	}
	t.ask(filter)
}

// ask asks for the calls that a filter takes.
func (t *top) ask(filter string) {
	t.asked = filter
	select {
	case <-t.refilter:
	default:
	}
	t.refilter <- filter
}

// move selects the next upstream, or the one before.
func (t *top) move(by int) {
	list := t.order()
	if len(list) == 0 {
		return
	}
	at := -1
	for i, u := range list {
		if u.Name == t.selected {
			at = i
		}
	}
	t.selected = list[max(0, min(len(list)-1, at+by))].Name
}
