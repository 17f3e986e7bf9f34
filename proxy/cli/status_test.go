package cli

import (
	"strings"
	"testing"

	"outrider/proxy/telemetry"
)

// Why a collector did not take something is in its words, which went to the terminal of
// whoever asked for the status as they were.
func TestStatusLeavesTheTerminalAlone(t *testing.T) {
	var out strings.Builder
	printStatus(&out, statusView{Lost: []telemetry.Loss{{Signal: "traces", Why: "400: \x1b]0;taken\a"}}})
	if text := out.String(); strings.ContainsAny(text, "\x1b\a") || !strings.Contains(text, "400: ?]0;taken?") {
		t.Errorf("%q", text)
	}
}
