package cli

import (
	"fmt"
	"html"
	"os"
	"strings"
	"testing"
)

// The picture of a trace: names on the left, bars of time on the right. In pixels.
const (
	pictureWidth = 880
	namesWidth   = 250
	timeWidth    = 540
	rowHeight    = 26
	headHeight   = 62
)

// pictureStyle has the colours, for light pages and for dark ones.
const pictureStyle = `
  .page { fill: #ffffff } .stripe { fill: #f5f7fa } .grid { stroke: #d8dee6 }
  text { font: 13px ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1c2733 }
  .quiet { fill: #5d6b7a; font-size: 12px } .title { font-weight: 600 }
  .SERVER { fill: #3b6fd4 } .CLIENT { fill: #2f9464 } .failed { fill: #cf4545 } .INTERNAL { fill: #dba13a }
  @media (prefers-color-scheme: dark) {
    .page { fill: #11161c } .stripe { fill: #181f27 } .grid { stroke: #2c3743 }
    text { fill: #e3e9f0 } .quiet { fill: #93a1b1 }
    .SERVER { fill: #6c9bf0 } .CLIENT { fill: #4fbf8b } .failed { fill: #ef6f6f } .INTERNAL { fill: #e8b65c }
  }
`

// draw writes the picture of a trace. It is made when somebody asks for it by
// OUTRIDER_TEST_PICTURE, of a run as it was: its durations are no other run's.
func draw(t *testing.T, path string, trace *seenTrace) {
	t.Helper()
	var rows []pictureRow
	var collect func(parent string, depth int)
	collect = func(parent string, depth int) {
		for _, s := range trace.Spans {
			if trace.parent(&s) == parent {
				rows = append(rows, pictureRow{s, depth})
				collect(s.SpanID, depth+1)
			}
		}
	}
	collect("", 0)
	call := rows[0].seenSpan
	height := headHeight + len(rows)*rowHeight + 14

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="The trace of one call">`+"\n", pictureWidth, height)
	fmt.Fprintf(&b, "<style>%s</style>\n", pictureStyle)
	fmt.Fprintf(&b, `<rect class="page" width="%d" height="%d" rx="6"/>`+"\n", pictureWidth, height)
	fmt.Fprintf(&b, `<text class="title" x="16" y="24">%s: %s</text><text class="quiet" x="%d" y="24" text-anchor="end">%d spans, trace %s</text>`+"\n",
		html.EscapeString(trace.Processes[call.ProcessID].ServiceName), html.EscapeString(call.OperationName), pictureWidth-16, len(rows), trace.TraceID)
	for quarter := range 5 {
		x := namesWidth + timeWidth*quarter/4
		fmt.Fprintf(&b, `<line class="grid" x1="%[1]d" x2="%[1]d" y1="50" y2="%[2]d"/><text class="quiet" x="%[1]d" y="45" text-anchor="middle">%[3]s</text>`+"\n",
			x, height-10, inWords(call.Duration*int64(quarter)/4))
	}
	for i, row := range rows {
		row.draw(&b, headHeight+i*rowHeight, call, i%2 == 0)
	}
	b.WriteString("</svg>\n")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A pictureRow is a span at its depth in the tree.
type pictureRow struct {
	seenSpan
	depth int
}

func (r pictureRow) draw(b *strings.Builder, y int, call seenSpan, striped bool) {
	scale := func(microseconds int64) int { return int(microseconds * timeWidth / max(call.Duration, 1)) }
	x, width := namesWidth+scale(r.StartTime-call.StartTime), max(scale(r.Duration), 3)
	kind := strings.ToUpper(tag(r.Tags, "span.kind"))
	if kind == "CLIENT" && tag(r.Tags, "error") == "true" {
		kind = "failed"
	}
	if striped {
		fmt.Fprintf(b, `<rect class="stripe" x="6" y="%d" width="%d" height="%d"/>`+"\n", y-4, pictureWidth-12, rowHeight)
	}
	at, anchor := x+width+6, "start"
	if at > pictureWidth-150 {
		at, anchor = x-6, "end"
	}
	if r.depth == 0 {
		at, anchor = pictureWidth-16, "end"
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">%s</text><rect class="%s" x="%d" y="%d" width="%d" height="16" rx="2"/><text class="quiet" x="%d" y="%d" text-anchor="%s">%s</text>`+"\n",
		16+14*r.depth, y+13, html.EscapeString(r.OperationName), kind, x, y, width, at, y+13, anchor, html.EscapeString(r.caption()))
}

// caption is how long a span took, and what it says most shortly of itself.
func (r pictureRow) caption() string {
	words := []string{inWords(r.Duration)}
	if r.depth == 0 {
		return words[0]
	}
	for _, key := range []string{"http.response.status_code", "outrider.reason"} {
		if value := tag(r.Tags, key); value != "" {
			words = append(words, value)
		}
	}
	return strings.Join(words, ", ")
}

// inWords is a span of time in milliseconds.
func inWords(microseconds int64) string {
	ms := float64(microseconds) / 1000
	if ms >= 10 || ms == 0 {
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f ms", ms)
}
