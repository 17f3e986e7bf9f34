package outbox

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// An Outbox keeps letters and sends them.
type Outbox struct{}

var errNotYet = errors.New("not yet")

// Errors that the caller acts on.
var (
	ErrFull       = errors.New("the outbox is full")
	ErrTooLarge   = errors.New("the body is longer than outbox.max_body allows")
	ErrUnknown    = errors.New("there is no such letter")
	ErrHeld       = errors.New("the letter is being sent")
	ErrEnded      = errors.New("the letter has ended")
	ErrUnanswered = errors.New("the letter has no answer yet")
)

// A ConflictError says that a strict dedup key was used for another request.
type ConflictError struct{ ID string }

func (e *ConflictError) Error() string { return "the key was used for another request" }

// A CallbackError says why a callback is not allowed.
type CallbackError struct{ Reason string }

func (e *CallbackError) Error() string { return e.Reason }

// An AwayError says that the store cannot be used now.
type AwayError struct{ Err error }

func (e *AwayError) Error() string { return "the store of the outbox: " + e.Err.Error() }
func (e *AwayError) Unwrap() error { return e.Err }

// KeepOptions say how a letter is kept.
type KeepOptions struct {
	Departed time.Time     // when a request for it first went out; zero: none did
	Delay    time.Duration // before it is sent
	// Strict has a dedup key that was used for another request be a *ConflictError. Otherwise
	// the first letter is the answer, whatever this one says.
	Strict bool
}

// A Receipt says what was kept.
type Receipt struct {
	ID         string
	Duplicate  bool // it is an earlier letter
	Key        string
	RetryAfter time.Duration // estimate of when it has ended
}

// A Change is what Edit changes; nil: that stays.
type Change struct {
	Method, Target *string
	Header         http.Header // replaces the header
	Body           io.Reader
	Key            *string // the idempotency key; nil: a new one where the letter has one
}

// A Line is one of a file that is imported.
type Line struct {
	Number     int
	Method     string
	URL        string // or Upstream and Path
	Upstream   string
	Path       string
	Header     http.Header
	Connection string
	OrderKey   string
	DedupKey   string
}

// An Imported says what an import came to.
type Imported struct{ Letters, Duplicates int }

// An ImportError names the lines that are wrong. Nothing was kept.
type ImportError struct{ Lines []LineError }

// A LineError is what is wrong with a line.
type LineError struct {
	Number int
	Err    error
}

func (e *ImportError) Error() string { return "lines are wrong" }

// New makes an Outbox.
func New(s Settings, l Limits) *Outbox { return &Outbox{} }

// Configure sets other limits.
func (o *Outbox) Configure(l Limits) {}

// Run sends letters until ctx ends; then it waits for what has departed, and gives the rest back.
func (o *Outbox) Run(ctx context.Context) error { return errNotYet }

// Break breaks off what Run still waits for.
func (o *Outbox) Break() {}

// Keep keeps a letter, durable when it returns.
func (o *Outbox) Keep(ctx context.Context, l *Letter, body io.Reader, how KeepOptions) (Receipt, error) {
	return Receipt{}, errNotYet
}

// Letter tells of a letter.
func (o *Outbox) Letter(ctx context.Context, id string) (*View, error) { return nil, errNotYet }

// Request gives a letter with its header, and its body.
func (o *Outbox) Request(ctx context.Context, id string) (*Letter, io.ReadCloser, error) {
	return nil, nil, errNotYet
}

// Response gives the last answer to a letter.
func (o *Outbox) Response(ctx context.Context, id string) (*Answer, error) { return nil, errNotYet }

// Wait waits until a letter has ended.
func (o *Outbox) Wait(ctx context.Context, id string) (*View, error) { return nil, errNotYet }

// Cancel takes a letter back that was not sent yet.
func (o *Outbox) Cancel(ctx context.Context, id string) error { return errNotYet }

// List lists letters; next is "" at the end.
func (o *Outbox) List(ctx context.Context, f Filter, after string, limit int) (letters []View, next string, err error) {
	return nil, "", errNotYet
}

// Retry has dead letters wait again, and waiting ones be due now.
func (o *Outbox) Retry(ctx context.Context, f Filter) (int, error) { return 0, errNotYet }

// Edit changes a letter that is not being sent, and has it wait.
func (o *Outbox) Edit(ctx context.Context, id string, c Change) error { return errNotYet }

// Drop forgets letters.
func (o *Outbox) Drop(ctx context.Context, f Filter) (int, error) { return 0, errNotYet }

// Drain makes letters due now, and waits until none waits.
func (o *Outbox) Drain(ctx context.Context, f Filter) error { return errNotYet }

// Import keeps a letter for each line of NDJSON, all or none.
func (o *Outbox) Import(ctx context.Context, r io.Reader, progress func(lines int)) (Imported, error) {
	return Imported{}, errNotYet
}

// Export writes letters and their answers as NDJSON.
func (o *Outbox) Export(ctx context.Context, f Filter, w io.Writer) error { return errNotYet }

// Standing tells how the outbox stands.
func (o *Outbox) Standing(ctx context.Context) (Standing, error) { return Standing{}, errNotYet }
