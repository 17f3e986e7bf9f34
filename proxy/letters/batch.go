package letters

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

// shownMistakes bounds what is said about lines that are wrong.
const shownMistakes = 10

func (d desk) importLines(w http.ResponseWriter, r *http.Request) {
	if !takes(w, r, linesType) {
		return
	}
	done, err := d.outbox.Import(r.Context(), r.Body, nil)
	if wrong, ok := errors.AsType[*outbox.ImportError](err); ok {
		admin.Fail(w, http.StatusUnprocessableEntity, "import-invalid", mistakes(wrong))
		return
	}
	if errors.Is(err, outbox.ErrFull) {
		fail(w, fmt.Errorf("nothing was kept of the file: %w: see outbox.max_size", err))
		return
	} else if err != nil {
		fail(w, fmt.Errorf("%w; import the same file again, for no line becomes two letters", err))
		return
	}
	admin.Answer(w, http.StatusOK, done)
}

// mistakes says what is wrong with which line.
func mistakes(wrong *outbox.ImportError) string {
	var b strings.Builder
	b.WriteString("Nothing was kept.")
	for _, line := range wrong.Lines[:min(len(wrong.Lines), shownMistakes)] {
		fmt.Fprintf(&b, " Line %d: %v.", line.Number, line.Err)
	}
	if more := len(wrong.Lines) - shownMistakes; more > 0 {
		fmt.Fprintf(&b, " And %d more lines.", more)
	}
	return b.String()
}

// export writes a line for each letter. One that could not be read ends it, and what was
// written by then is on its way: the connection is broken off, so that nobody takes it for
// all.
func (d desk) export(w http.ResponseWriter, r *http.Request) {
	query, err := parameters(r.URL.RawQuery, choosing)
	if err != nil {
		malformed(w, err)
		return
	}
	filter, err := readFilter(query, time.Now())
	if err != nil {
		malformed(w, err)
		return
	}
	begun := &begun{Writer: w}
	w.Header().Set("Content-Type", linesType)
	err = d.outbox.Export(r.Context(), filter, begun)
	switch {
	case err != nil && begun.is:
		panic(http.ErrAbortHandler)
	case err != nil:
		fail(w, err)
	}
}

// begun knows whether something was written.
type begun struct {
	io.Writer
	is bool
}

func (b *begun) Write(p []byte) (int, error) {
	b.is = true
	return b.Writer.Write(p)
}
