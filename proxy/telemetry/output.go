package telemetry

import (
	"io"
	"os"
	"sync"
	"time"
)

// An output is where the log goes, for several that write there: their lines do not come
// between each other.
//
// To write a line costs a system call, which is dear beside all else that a call is told by.
// So the lines of calls wait for each other where many come: in each tenth of a second the
// first few are written at once, and what comes after them together, before anything else is
// written, and when the tenth is over at the latest. A process that is killed loses those.
type output struct {
	out  io.Writer
	most int // bytes that wait

	mu      sync.Mutex
	began   time.Time   // of the tenth of a second that lasts
	lines   int         // of calls in it
	waiting []byte      // lines of calls that are not written yet
	due     *time.Timer // writes them; nil: none has waited yet
	ended   bool        // nothing waits any more
}

const (
	gatherFor   = 100 * time.Millisecond
	linesAtOnce = 10

	// pipeTakes is what a pipe takes in one piece, so that lines of two processes that write to
	// the same one, as in a handover, do not come between each other (POSIX, PIPE_BUF). A file
	// takes any write in one piece.
	pipeTakes = 4 << 10
	fileTakes = 64 << 10
)

func newOutput(out io.Writer) *output {
	o := &output{out: out, most: pipeTakes}
	if file, ok := out.(*os.File); ok {
		if is, err := file.Stat(); err == nil && is.Mode().IsRegular() {
			o.most = fileTakes
		}
	}
	return o
}

// Write writes what waits, and then p, at once.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	return o.out.Write(p)
}

// gather takes the line of a call that ended at some time, which is now or was just before.
// Who has it appends it to those that wait.
func (o *output) gather(ended time.Time, line func(waiting []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ended.Sub(o.began) >= gatherFor {
		o.began, o.lines = ended, 0
	}
	o.lines++
	before := len(o.waiting)
	o.waiting = line(o.waiting)
	switch {
	case o.ended || o.lines <= linesAtOnce && before == 0:
		o.flush()
	case before == 0:
		o.writeLater()
	case len(o.waiting) > o.most:
		last := o.waiting[before:]
		o.waiting = o.waiting[:before]
		o.flush()
		o.writeLater()
		o.waiting = append(o.waiting, last...)
	}
}

// writeLater has written what waits when it has waited for long enough. The lock is held.
func (o *output) writeLater() {
	if o.due == nil {
		o.due = time.AfterFunc(gatherFor, o.writeNow)
		return
	}
	o.due.Reset(gatherFor)
}

// writeNow writes what waits.
func (o *output) writeNow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
}

// flush writes what waits. The lock is held.
func (o *output) flush() {
	if len(o.waiting) > 0 {
		_, _ = o.out.Write(o.waiting) // as slog: there is nobody left to tell
		o.waiting = o.waiting[:0]
	}
}

// end writes what waits. Each line is written at once from now on.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.flush()
	o.ended = true
	if o.due != nil {
		o.due.Stop()
	}
}
