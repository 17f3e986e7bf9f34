package letters

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

const root = "/api/outbox"

const (
	jsonType  = "application/json"
	linesType = "application/x-ndjson"
)

// An Outbox is an outbox.Outbox, for those who look after it.
type Outbox interface {
	Standing(ctx context.Context) (outbox.Standing, error)
	List(ctx context.Context, f outbox.Filter, after string, limit int) (letters []outbox.View, next string, err error)
	Letter(ctx context.Context, id string) (*outbox.View, error)
	Request(ctx context.Context, id string) (*outbox.Letter, io.ReadCloser, error)
	Response(ctx context.Context, id string) (*outbox.Answer, error)
	Edit(ctx context.Context, id string, c outbox.Change) error
	Retry(ctx context.Context, f outbox.Filter) (int, error)
	Drop(ctx context.Context, f outbox.Filter) (int, error)
	Drain(ctx context.Context, f outbox.Filter) error
	Import(ctx context.Context, r io.Reader, progress func(lines int)) (outbox.Imported, error)
	Export(ctx context.Context, f outbox.Filter, w io.Writer) error
}

// Handler serves the API. It keeps nothing.
type Handler struct {
	// Outbox gives the outbox; nil: there is none.
	Outbox func() Outbox
	// Amend holds a letter, as somebody wants it to be in place of what is sent, to what a call
	// is held to. Its error, shown to the user, says what is wrong.
	Amend func(l, sent *outbox.Letter) error
}

func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kept := h.Outbox()
	if kept == nil {
		admin.Fail(w, http.StatusNotFound, "outbox-unused", "No upstream keeps calls: there is no outbox = \"allow\", \"always\" or \"on_failure\" in the configuration.")
		return
	}
	methods, found := desk{kept, h.Amend}.find(strings.Trim(strings.TrimPrefix(r.URL.Path, root), "/"))
	if !found {
		admin.Fail(w, http.StatusNotFound, "not-found", "There is nothing at this address.")
		return
	}
	methods.ServeHTTP(w, r)
}

// A desk is where one request is served.
type desk struct {
	outbox Outbox
	amend  func(l, sent *outbox.Letter) error
}

// find gives what is at an address below the root.
func (d desk) find(path string) (admin.Methods, bool) {
	if at, one := strings.CutPrefix(path, "letters/"); one {
		return d.findLetter(at)
	}
	methods, found := map[string]admin.Methods{
		"":        {http.MethodGet: d.standing},
		"letters": {http.MethodGet: d.list},
		"retry":   {http.MethodPost: d.retry},
		"drop":    {http.MethodPost: d.drop},
		"drain":   {http.MethodPost: d.drain},
		"import":  {http.MethodPost: d.importLines},
		"export":  {http.MethodGet: d.export},
	}[path]
	return methods, found
}

func (d desk) findLetter(path string) (admin.Methods, bool) {
	id, part, _ := strings.Cut(path, "/")
	l := letter{d, id}
	methods, found := map[string]admin.Methods{
		"":         {http.MethodGet: l.show, http.MethodPatch: l.edit},
		"request":  {http.MethodGet: l.request},
		"response": {http.MethodGet: l.response},
	}[part]
	return methods, found
}

func (d desk) standing(w http.ResponseWriter, r *http.Request) {
	standing, err := d.outbox.Standing(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, standing)
}

// failures are the errors of an outbox that a caller acts on; all others are of the store.
var failures = []struct {
	err    error
	status int
	slug   string
}{
	{outbox.ErrUnknown, http.StatusNotFound, "letter-unknown"},
	{outbox.ErrUnanswered, http.StatusNotFound, "letter-unanswered"},
	{outbox.ErrHeld, http.StatusConflict, "letter-sending"},
	{outbox.ErrEnded, http.StatusConflict, "letter-ended"},
	{outbox.ErrDamaged, http.StatusConflict, "letter-damaged"},
	{outbox.ErrTooLarge, http.StatusRequestEntityTooLarge, "body-too-large"},
	{outbox.ErrFull, http.StatusServiceUnavailable, "outbox-full"},
}

// fail answers with what went wrong.
func fail(w http.ResponseWriter, err error) {
	for _, known := range failures {
		if errors.Is(err, known.err) {
			admin.Fail(w, known.status, known.slug, err.Error())
			return
		}
	}
	admin.Fail(w, http.StatusServiceUnavailable, "outbox-unavailable", err.Error())
}

// malformed answers a request that is not as it should be.
func malformed(w http.ResponseWriter, err error) {
	admin.Fail(w, http.StatusBadRequest, "malformed-request", err.Error())
}

// takes reports whether a body is of a type, and answers if not. The type keeps pages of
// other sites out that send plain forms.
func takes(w http.ResponseWriter, r *http.Request, want string) bool {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == want {
		return true
	}
	admin.Fail(w, http.StatusUnsupportedMediaType, "unsupported-media-type", "Send it with Content-Type: "+want+".")
	return false
}
