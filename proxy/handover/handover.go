package handover

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"outrider/policy"
	"outrider/proxy/admin"
)

const (
	root = "/api/connections"

	// maxDocument and maxDocuments bound what is read into memory, in bytes: a credential
	// is some kilobytes, and the largest customers hand over some ten thousand at once.
	maxDocument  = 64 << 10
	maxDocuments = 64 << 20

	// maxPage is how many connections are on a page.
	maxPage = 1000
)

// Handler serves the API for the Set that is published. It keeps nothing.
type Handler struct {
	// Set gives what is published now.
	Set func() *policy.Set
}

func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upstream, name, one := strings.Cut(strings.Trim(strings.TrimPrefix(r.URL.Path, root), "/"), "/")
	if upstream == "" {
		admin.Methods{http.MethodGet: h.listAll}.ServeHTTP(w, r)
		return
	}
	u, found := h.Set().ByName(upstream)
	if !found {
		admin.Fail(w, http.StatusNotFound, "unknown-upstream", "There is no upstream of this name in the configuration.")
		return
	}
	at := place{u, name}
	if !one {
		admin.Methods{http.MethodGet: at.list, http.MethodPost: at.putMany}.ServeHTTP(w, r)
		return
	}
	admin.Methods{http.MethodGet: at.show, http.MethodPut: at.put, http.MethodDelete: at.remove}.ServeHTTP(w, r)
}

// A place is a connection, or with no name all of an upstream.
type place struct {
	upstream *policy.Upstream
	name     string
}

// fail answers with what went wrong.
func fail(w http.ResponseWriter, err error) {
	status, slug := http.StatusServiceUnavailable, "store-unavailable"
	if _, unknown := errors.AsType[*policy.UnknownConnectionError](err); unknown {
		status, slug = http.StatusNotFound, "unknown-connection"
	} else if _, wrong := errors.AsType[*policy.HandoverError](err); wrong {
		status, slug = http.StatusUnprocessableEntity, "handover-invalid"
	} else if _, elsewhere := errors.AsType[*policy.ConnectionError](err); elsewhere {
		status, slug = http.StatusConflict, "connection-conflict"
	}
	admin.Fail(w, status, slug, err.Error())
}

func (p place) show(w http.ResponseWriter, r *http.Request) {
	status, err := p.upstream.Connection(r.Context(), p.name)
	if err != nil {
		fail(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, status)
}

// A Result is what became of one document.
type Result struct {
	Name   string `json:"name"`
	Result string `json:"result,omitempty"` // "created" or "replaced"
	Error  string `json:"error,omitempty"`
}

func (p place) put(w http.ResponseWriter, r *http.Request) {
	document, ok := read(w, r, maxDocument, jsonType)
	if !ok {
		return
	}
	handed, err := p.upstream.ReadHandover(p.name, document)
	if err != nil {
		fail(w, err)
		return
	}
	created, err := p.upstream.HandOver(r.Context(), handed)
	if err != nil {
		fail(w, err)
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
		w.Header().Set("Location", root+"/"+p.upstream.Config.Name+"/"+p.name)
	}
	admin.Answer(w, status, Result{Name: p.name, Result: word(created)})
}

func word(created bool) string {
	if created {
		return "created"
	}
	return "replaced"
}

func (p place) remove(w http.ResponseWriter, r *http.Request) {
	found, err := p.upstream.RemoveConnection(r.Context(), p.name)
	if err == nil && !found {
		err = &policy.UnknownConnectionError{Name: p.name}
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

const (
	jsonType  = "application/json"
	linesType = "application/x-ndjson"
)

// read gives the body of a request of one of the types, and answers where it cannot.
// The type keeps pages of other sites out that send plain forms.
func read(w http.ResponseWriter, r *http.Request, most int64, types ...string) ([]byte, bool) {
	if kind := contentType(r); !slices.Contains(types, kind) {
		admin.Fail(w, http.StatusUnsupportedMediaType, "unsupported-media-type", "Send it with Content-Type: "+strings.Join(types, " or ")+".")
		return nil, false
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if large, ok := errors.AsType[*http.MaxBytesError](err); ok {
		admin.Fail(w, http.StatusRequestEntityTooLarge, "too-large", "It must not have more than "+strconv.FormatInt(large.Limit, 10)+" bytes.")
		return nil, false
	}
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, "malformed-request", "The body ended before its end.")
		return nil, false
	}
	return data, true
}

func contentType(r *http.Request) string {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind
}
