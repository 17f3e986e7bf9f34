package outbox

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	// importAtOnce is how many lines are kept at once: the store has them durable together.
	importAtOnce = 64
	// importAlone is how long the body of a line is that is kept alone, in bytes.
	importAlone = 512 << 10
	// importOrders is of how many order keys the last letter is known at most.
	importOrders = 10_000
	// maxWrong is how many lines an ImportError names.
	maxWrong = 100
)

// An Imported says what an import came to.
type Imported struct {
	Letters    int `json:"letters"`
	Duplicates int `json:"duplicates"` // lines of a file that was imported before
}

// An ImportError names lines that are wrong, at most 100. Nothing was kept.
type ImportError struct{ Lines []LineError }

// A LineError is what is wrong with a line.
type LineError struct {
	Number int
	Err    error
}

// Error implements error.
func (e *ImportError) Error() string {
	var text strings.Builder
	for i, line := range e.Lines {
		if i > 0 {
			text.WriteString("\n")
		}
		fmt.Fprintf(&text, "line %d: %v", line.Number, line.Err)
	}
	return text.String()
}

// Import keeps a letter for each line of newline-delimited JSON, see [Line]; empty lines are
// none. All letters appear at once, durable, or none does. progress is told how many lines
// were read; it may be nil.
//
// A line that was imported before, within Limits.DedupWindow, is a duplicate, and a file that
// was imported half, or twice, is safely imported again: what tells a line is its dedup_key,
// or else its text, and the how-manieth of that text in the file it is.
func (o *Outbox) Import(ctx context.Context, r io.Reader, progress func(lines int)) (Imported, error) {
	if o.settings.Address == nil {
		return Imported{}, errors.New("nothing can be imported here")
	}
	i := &importing{outbox: o, batch: rand.Text(), seen: map[[16]byte]int{}, last: map[string]chan struct{}{}}
	err := i.read(ctx, r, progress)
	i.keeping.Wait()
	if err = errors.Join(err, i.failed); err == nil && len(i.wrong) > 0 {
		err = &ImportError{i.wrong}
	}
	kept, away := o.settings.Store(ctx)
	if away != nil {
		return Imported{}, errors.Join(err, away)
	}
	released := 0
	if err == nil {
		released, _, err = kept.Release(ctx, i.batch, i.kept())
	}
	if err != nil {
		// What was released nevertheless stays, and is a duplicate the next time. If this fails,
		// too, the store forgets the batch by itself.
		_, _ = kept.DropBatch(context.WithoutCancel(ctx), i.batch)
		return Imported{}, err
	}
	for upstream, count := range i.upstreams {
		o.settings.Observe(Event{Kind: Accepted, Upstream: upstream, Count: count})
	}
	o.bell.ringAll()
	return Imported{Letters: released, Duplicates: i.lines - released}, nil
}

// kept is how many letters are to appear.
func (i *importing) kept() (letters int) {
	for _, count := range i.upstreams {
		letters += count
	}
	return letters
}

// importing is an import that goes on.
type importing struct {
	outbox *Outbox
	batch  string
	lines  int
	seen   map[[16]byte]int         // hash of what tells a line → how many there were
	last   map[string]chan struct{} // order key → closed when its last letter is kept

	keeping sync.WaitGroup
	room    chan struct{}

	mu        sync.Mutex
	failed    error
	wrong     []LineError
	upstreams map[string]int // upstream → letters
}

// read reads the lines, and has them kept.
func (i *importing) read(ctx context.Context, r io.Reader, progress func(int)) error {
	i.room = make(chan struct{}, importAtOnce)
	i.upstreams = map[string]int{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	number := 0
	for lines.Scan() && len(i.wrong) < maxWrong && i.failure() == nil {
		number++
		if text := bytes.TrimSpace(lines.Bytes()); len(text) > 0 {
			i.line(ctx, number, text)
		}
		if progress != nil {
			progress(number)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		i.refuse(number+1, fmt.Errorf("is longer than %d MiB", maxLine>>20))
	case err != nil:
		return fmt.Errorf("reading line %d: %w", number+1, err)
	}
	return nil
}

// line has a line kept, unless it is wrong. After the first wrong one they are only read.
func (i *importing) line(ctx context.Context, number int, text []byte) {
	line, err := readLine(number, text)
	if err != nil {
		i.refuse(number, err)
		return
	}
	letter, err := i.outbox.settings.Address(line)
	if err != nil {
		i.refuse(number, err)
		return
	}
	if len(i.wrong) > 0 || !i.tell(letter, line, text) {
		return
	}
	i.keep(ctx, letter, line)
}

func (i *importing) refuse(number int, err error) {
	i.wrong = append(i.wrong, LineError{number, err})
}

// tell gives the letter what tells the line apart, and reports whether the file had none that
// is the same.
func (i *importing) tell(letter *Letter, line *Line, text []byte) bool {
	i.lines++
	letter.OrderKey, letter.DedupKey = line.OrderKey, line.DedupKey
	own := line.DedupKey != ""
	sum := sha256.Sum256(text)
	if own {
		sum = sha256.Sum256([]byte(letter.inLane(line.DedupKey)))
	}
	hash := [16]byte(sum[:16])
	if own {
		hash[0] ^= 1 // a dedup key that is the text of a line is something else
	}
	i.seen[hash]++
	if !own {
		letter.DedupKey = fmt.Sprintf("line:%x#%d", sum, i.seen[hash])
	}
	return !own || i.seen[hash] == 1
}

// keep keeps a line, beside others: but one after the other within an order key.
func (i *importing) keep(ctx context.Context, letter *Letter, line *Line) {
	if len(line.body) > importAlone {
		i.keeping.Wait()
		defer i.keeping.Wait()
	}
	if len(i.last) > importOrders {
		i.keeping.Wait() // they are all kept
		clear(i.last)
	}
	before, done := i.last[letter.inLane(letter.OrderKey)], make(chan struct{})
	if letter.OrderKey != "" {
		i.last[letter.inLane(letter.OrderKey)] = done
	}
	i.room <- struct{}{}
	i.keeping.Go(func() {
		defer func() { close(done); <-i.room }()
		if before != nil {
			<-before
		}
		receipt, err := i.outbox.Keep(ctx, letter, bytes.NewReader(line.body), KeepOptions{batch: i.batch})
		i.mu.Lock()
		defer i.mu.Unlock()
		switch {
		case err != nil && i.failed == nil:
			i.failed = fmt.Errorf("keeping line %d: %w", line.Number, err)
		case err == nil && !receipt.Duplicate:
			i.upstreams[letter.Upstream]++
		}
	})
}

func (i *importing) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.failed
}
