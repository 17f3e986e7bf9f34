package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Paced is a load of so many calls a second, whatever becomes of the earlier ones.
type Paced struct {
	URL     string
	Clients int    // connections, which share the rate
	Rate    int    // calls a second, a multiple of Clients
	Calls   int    // in all
	Log     string // path of a file that may be overwritten
}

// Run runs the load by h2load, in HTTP/1.1, and returns the duration of each call, the
// shortest first. A call that was not answered with 200 is an error.
func (p Paced) Run(ctx context.Context) ([]time.Duration, error) {
	if err := os.Remove(p.Log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	output, err := exec.CommandContext(ctx, "h2load", "--h1", "-t1",
		fmt.Sprintf("-c%d", p.Clients), fmt.Sprintf("-n%d", p.Calls), fmt.Sprintf("--rps=%d", p.Rate/p.Clients),
		"--log-file="+p.Log, p.URL).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("running h2load: %w: %s", err, output)
	}
	lines, err := os.ReadFile(p.Log)
	if err != nil {
		return nil, err
	}
	return parseH2load(string(lines))
}

// parseH2load reads a log of h2load: the start of each call, its status and its duration,
// both times in microseconds.
func parseH2load(log string) ([]time.Duration, error) {
	var durations []time.Duration
	for line := range strings.Lines(log) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("h2load wrote %q: expected start, status and duration", line)
		}
		if fields[1] != "200" {
			return nil, fmt.Errorf("h2load had the status %s", fields[1])
		}
		microseconds, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, err
		}
		durations = append(durations, time.Duration(microseconds)*time.Microsecond)
	}
	if len(durations) == 0 {
		return nil, errors.New("h2load logged no call")
	}
	slices.Sort(durations)
	return durations, nil
}
