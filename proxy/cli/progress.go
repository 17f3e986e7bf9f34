package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// A progress is a line that says how far something is, for those who look at a terminal.
type progress struct {
	w      io.Writer
	what   string
	moving bool // there is somebody
	shown  time.Time
}

func newProgress(w io.Writer, what string) *progress {
	return &progress{w: w, what: what, moving: isTerminal(w) && os.Getenv("TERM") != "dumb"}
}

const (
	progressEvery = 100 * time.Millisecond // nobody reads faster
	progressWidth = 30
)

// show says that so much of all is done; all is 0: nobody knows how much there is.
func (p *progress) show(done, all int64, text string) {
	if !p.moving || time.Since(p.shown) < progressEvery && done != all {
		return
	}
	p.shown = time.Now()
	fmt.Fprintf(p.w, "\r\x1b[K%s %s%s", p.what, progressBar(done, all), text)
}

// progressBar is empty where nobody knows how much there is.
func progressBar(done, all int64) string {
	if all <= 0 {
		return ""
	}
	share := min(float64(done)/float64(all), 1)
	full := int(share * progressWidth)
	return fmt.Sprintf("%s%s %3.0f %%  ", strings.Repeat("█", full), strings.Repeat("░", progressWidth-full), 100*share)
}

// end takes the line away.
func (p *progress) end() {
	if p.moving {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
