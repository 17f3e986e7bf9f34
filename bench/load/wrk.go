package load

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// A Closed is a load of clients that each send their next call as soon as they have the
// answer to the last.
type Closed struct {
	URL      string
	Clients  int
	Duration time.Duration // rounded down to seconds, at least one
	Script   string        // path of a script in Lua that makes the requests; empty: a GET of URL
}

// Calls is what came of a Closed load.
type Calls struct {
	Answered int     // calls that had an answer
	Rate     float64 // of them in a second
}

// Run runs the load by wrk. A call that failed, or was not answered with 2xx or 3xx, is an
// error.
func (c Closed) Run(ctx context.Context) (Calls, error) {
	args := []string{"-t1", fmt.Sprintf("-c%d", c.Clients), fmt.Sprintf("-d%ds", max(1, int(c.Duration.Seconds()))), "--timeout", "20s"}
	if c.Script != "" {
		args = append(args, "-s", c.Script)
	}
	output, err := exec.CommandContext(ctx, "wrk", append(args, c.URL)...).CombinedOutput()
	if err != nil {
		return Calls{}, fmt.Errorf("running wrk: %w: %s", err, output)
	}
	return parseWrk(string(output))
}

var (
	wrkAnswered = regexp.MustCompile(`(\d+) requests in`)
	wrkRate     = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	wrkFailed   = regexp.MustCompile(`Non-2xx or 3xx responses: \d+|Socket errors: .*`)
)

func parseWrk(output string) (Calls, error) {
	if failed := wrkFailed.FindString(output); failed != "" {
		return Calls{}, fmt.Errorf("wrk says: %s", failed)
	}
	answered, rate := wrkAnswered.FindStringSubmatch(output), wrkRate.FindStringSubmatch(output)
	if answered == nil || rate == nil {
		return Calls{}, fmt.Errorf("wrk said nothing of requests: %s", output)
	}
	var c Calls
	var err error
	if c.Answered, err = strconv.Atoi(answered[1]); err != nil {
		return c, err
	}
	if c.Answered == 0 {
		return c, fmt.Errorf("wrk had no answer: %s", output)
	}
	c.Rate, err = strconv.ParseFloat(rate[1], 64)
	return c, err
}
