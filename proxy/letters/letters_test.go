package letters_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"outrider/proxy/letters"
	"outrider/proxy/outbox"
)

// A shelf is an outbox of letters that nobody sends.
type shelf struct {
	letters []outbox.View
	body    string
	answer  *outbox.Answer
	lost    error // of everything

	asked   []string // what was done, and to which letters
	changed outbox.Change

	refused error // of an edit
	unread  error // of the body of a request
}

func (s *shelf) note(what string, f outbox.Filter) {
	line := what
	for _, word := range []string{f.State, f.Upstream, f.Reason} {
		if word != "" {
			line += " " + word
		}
	}
	if !f.Before.IsZero() {
		line += " before " + f.Before.UTC().Format(time.DateTime)
	}
	s.asked = append(s.asked, strings.TrimSpace(line+" "+strings.Join(f.IDs, " ")))
}

func (s *shelf) Standing(context.Context) (outbox.Standing, error) {
	return outbox.Standing{Size: 12, MaxSize: 100}, s.lost
}

func (s *shelf) List(_ context.Context, f outbox.Filter, after string, limit int) ([]outbox.View, string, error) {
	s.note(fmt.Sprintf("list %d after %q", limit, after), f)
	if !f.Newest {
		return nil, "", errors.New("the oldest first")
	}
	return s.letters, "next-one", s.lost
}

func (s *shelf) Letter(_ context.Context, id string) (*outbox.View, error) {
	at := slices.IndexFunc(s.letters, func(v outbox.View) bool { return v.ID == id })
	if at < 0 {
		return nil, outbox.ErrUnknown
	}
	return &s.letters[at], s.lost
}

func (s *shelf) Request(ctx context.Context, id string) (*outbox.Letter, io.ReadCloser, error) {
	view, err := s.Letter(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return &outbox.Letter{ID: id, Upstream: view.Upstream, Method: "POST", Target: "/v1/charges?notify=true", Header: http.Header{"Content-Type": {"text/plain"}}},
		io.NopCloser(io.MultiReader(strings.NewReader(s.body), iotest.ErrReader(cmp.Or(s.unread, io.EOF)))), nil
}

func (s *shelf) Response(ctx context.Context, id string) (*outbox.Answer, error) {
	if _, err := s.Letter(ctx, id); err != nil {
		return nil, err
	}
	if s.answer == nil {
		return nil, outbox.ErrUnanswered
	}
	return s.answer, nil
}

func (s *shelf) Edit(_ context.Context, id string, c outbox.Change) error {
	s.note("edit", outbox.Filter{IDs: []string{id}})
	s.changed = c
	return cmp.Or(s.refused, s.lost)
}

func (s *shelf) Retry(_ context.Context, f outbox.Filter) (int, error) {
	s.note("retry", f)
	return 3, s.lost
}

func (s *shelf) Drop(_ context.Context, f outbox.Filter) (int, error) {
	s.note("drop", f)
	return 2, s.lost
}

func (s *shelf) Drain(_ context.Context, f outbox.Filter) error {
	s.note("drain", f)
	return s.lost
}

func (s *shelf) Import(_ context.Context, r io.Reader, _ func(int)) (outbox.Imported, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return outbox.Imported{}, err
	}
	return outbox.Imported{Letters: strings.Count(string(data), "\n"), Duplicates: 1}, s.lost
}

func (s *shelf) Export(_ context.Context, f outbox.Filter, w io.Writer) error {
	s.note("export", f)
	for _, l := range s.letters {
		if _, err := fmt.Fprintf(w, "{\"id\":%q}\n", l.ID); err != nil {
			return err
		}
	}
	return s.lost
}

// handler serves a shelf on which no letter may have an Authorization.
func handler(s *shelf) letters.Handler {
	return letters.Handler{
		Outbox: func() letters.Outbox { return s },
		Amend: func(l, _ *outbox.Letter) error {
			if l.Header.Get("Authorization") != "" {
				return errors.New("Authorization is a credential, and " + l.Upstream + " has none: no letter keeps one")
			}
			return nil
		},
	}
}

func two() *shelf {
	return &shelf{letters: []outbox.View{{ID: "a", Upstream: "crm", State: "dead", Reason: "refused"}, {ID: "b", Upstream: "crm", State: "waiting"}}}
}

func ask(h http.Handler, method, path, kind, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/api/outbox"+path, strings.NewReader(body))
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAddresses(t *testing.T) {
	const lines, js = "application/x-ndjson", "application/json"
	s := two()
	s.body = "amount=1"
	for _, c := range []struct {
		method, path, kind, sent string
		status                   int
		body                     string // a part of it
	}{
		{"GET", "", "", "", 200, `"size":12,"max_size":100`},
		{"GET", "/", "", "", 200, `"size":12`},
		{"POST", "", "", "", 405, "This address takes GET."},
		{"GET", "/letters", "", "", 200, `{"letters":[{"id":"a","upstream":"crm","state":"dead","reason":"refused"`},
		{"GET", "/letters?limit=1", "", "", 200, `"next":"next-one"`},
		{"GET", "/letters?limit=501", "", "", 400, "must be a number from 1 to 500"},
		{"GET", "/letters?state=dad", "", "", 400, `state = \"dad\": must be one of waiting, sending, delivered, dead, cancelled`},
		{"GET", "/letters?reason=x", "", "", 400, "must be one of refused, redirected"},
		{"GET", "/letters?older=2", "", "", 400, "such as 2h"},
		{"GET", "/letters?stat=dead", "", "", 400, `unknown parameter \"stat\"`},
		{"GET", "/letters?state=", "", "", 400, "state is empty"},
		{"GET", "/letters?state=dead&state=waiting", "", "", 400, "state is there 2 times"},
		{"GET", "/letters?state=dead;", "", "", 400, "cannot be read"},
		{"GET", "/letters/a", "", "", 200, `"id":"a"`},
		{"GET", "/letters/c", "", "", 404, "urn:outrider:problem:letter-unknown"},
		{"GET", "/letters/a/else", "", "", 404, "not-found"},
		{"GET", "/letters/a/request", "", "", 200, `{"method":"POST","target":"/v1/charges?notify=true","header":{"Content-Type":["text/plain"]},"body":"amount=1"}`},
		{"GET", "/letters/a/response", "", "", 404, "letter-unanswered"},
		{"DELETE", "/letters/a", "", "", 405, "This address takes GET, PATCH."},
		{"POST", "/retry?state=dead&upstream=crm", "", "", 200, `{"letters":3}`},
		{"POST", "/retry", "", "", 400, "which letters?"},
		{"POST", "/retry?state=delivered", "", "", 400, "must be dead or waiting"},
		{"POST", "/retry?state=waiting&id=b", "", "", 200, `{"letters":3}`},
		{"POST", "/retry?all=true", "", "", 200, `{"letters":3}`},
		{"POST", "/retry?all=yes", "", "", 400, "must be true"},
		{"POST", "/retry?all=true&state=dead", "", "", 400, "one of them is right"},
		{"POST", "/retry?sate=dead", "", "", 400, `unknown parameter \"sate\"`},
		{"POST", "/retry?state=dead", "application/x-www-form-urlencoded", "upstream=crm", 400, "The parameters are in the address"},
		{"GET", "/retry?state=dead", "", "", 405, "This address takes POST."},
		{"POST", "/drop?id=a&id=b", "", "", 200, `{"letters":2}`},
		{"POST", "/drop?id=", "", "", 400, "id is empty"},
		{"POST", "/drain?upstream=crm", "", "", 200, `"size":12`},
		{"POST", "/drain?state=dead", "", "", 400, `unknown parameter \"state\"`},
		{"POST", "/import", lines, "{}\n{}\n", 200, `{"letters":2,"duplicates":1}`},
		{"POST", "/import", "text/plain", "{}\n", 415, "Send it with Content-Type: application/x-ndjson."},
		{"GET", "/export?state=dead", "", "", 200, "{\"id\":\"a\"}\n{\"id\":\"b\"}\n"},
		{"PATCH", "/letters/a", "text/plain", "{}", 415, "application/json"},
		{"PATCH", "/letters/a", js, "{}", 422, "what is to be changed?"},
		{"PATCH", "/letters/a", js, `{"methd":"PUT"}`, 400, "unknown field"},
		{"PATCH", "/letters/a", js, `{"method":"PUT"} {}`, 400, "something behind its end"},
		{"PATCH", "/letters/a", js, `{"target":"//evil.test/"`, 400, "cannot be read"},
		{"PATCH", "/letters/a", js, `{"target":"https://evil.test/"}`, 400, "must be a path"},
		{"PATCH", "/letters/a", js, `{"body":"a","body_base64":"YQ=="}`, 422, "one of them is right"},
		{"PATCH", "/letters/a", js, `{"header":{"authorization":["Bearer x"]}}`, 422, "Authorization is a credential, and crm has none"},
		{"PATCH", "/letters/c", js, `{"method":"PUT"}`, 404, "letter-unknown"},
		{"PATCH", "/letters/a", js, `{"method":"PUT"}`, 200, `"id":"a"`},
		{"PATCH", "/letters/a", js, `{"body":"` + strings.Repeat("x", 4<<20) + `"}`, 413, "body-too-large"},
		{"GET", "/nothing", "", "", 404, "not-found"},
	} {
		w := ask(handler(s), c.method, c.path, c.kind, c.sent)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s %s: %d %.300s; want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.body)
		}
	}
}

func TestWithoutAnOutboxTheAnswerSaysWhy(t *testing.T) {
	w := ask(letters.Handler{Outbox: func() letters.Outbox { return nil }}, "GET", "/letters", "", "")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "outbox-unused") || !strings.Contains(w.Body.String(), "on_failure") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestFilterChoosesLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // at 2000-01-01 00:00:00
		s := two()
		ask(handler(s), "GET", "/letters?state=dead&upstream=crm&reason=age&older=36h&after=x&limit=7", "", "")
		ask(handler(s), "POST", "/retry?reason=key-age", "", "")
		ask(handler(s), "POST", "/drop?id=a&id=b&older=1h", "", "")
		ask(handler(s), "POST", "/drain", "", "")
		ask(handler(s), "GET", "/export", "", "")
		want := []string{
			`list 7 after "x" dead crm age before 1999-12-30 12:00:00`, "retry key-age",
			"drop before 1999-12-31 23:00:00 a b", "drain", "export",
		}
		if !slices.Equal(s.asked, want) {
			t.Errorf("asked %q, want %q", s.asked, want)
		}
	})
}

// What was shown is what may be sent back: the name of a header is one however it is written,
// and a body that was too long to be shown is not emptied.
func TestEditTakesWhatWasShown(t *testing.T) {
	for _, body := range []string{"amount=1", "\xff\x00", strings.Repeat("x", 1<<20+1)} {
		s := two()
		s.body = body
		shown := ask(handler(s), "GET", "/letters/a/request", "", "")
		if w := ask(handler(s), "PATCH", "/letters/a", "application/json", shown.Body.String()); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		c := s.changed
		if *c.Method != "POST" || *c.Target != "/v1/charges?notify=true" || c.Header.Get("Content-Type") != "text/plain" || c.Key != nil {
			t.Errorf("changed to %+v", c)
		}
		if len(body) > 1<<20 {
			if c.Body != nil {
				t.Error("a body that was not shown is changed")
			}
			continue
		}
		if got, _ := io.ReadAll(c.Body); string(got) != body {
			t.Errorf("the body is %q, want %q", got, body)
		}
	}
	s := two()
	ask(handler(s), "PATCH", "/letters/a", "application/json", `{"header":{"content-type":["a/b"]},"key":"k"}`)
	if s.changed.Header.Get("Content-Type") != "a/b" || *s.changed.Key != "k" || s.changed.Body != nil || *s.changed.Method != "POST" {
		t.Errorf("changed to %+v", s.changed)
	}
}

// An answer of a provider that says that it is a page would be a page of the admin port.
func TestAnswerIsShownAsData(t *testing.T) {
	s := two()
	s.answer = &outbox.Answer{
		Status: 402, Size: 20, Header: http.Header{"Content-Type": {"text/html"}, "Set-Cookie": {"session=secret"}},
		Body: io.NopCloser(strings.NewReader("<script>x()</script>")),
	}
	w := ask(handler(s), "GET", "/letters/a/response", "", "")
	if kind := w.Header().Get("Content-Type"); kind != "application/json" || strings.Contains(w.Body.String(), "<script>") || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%s %s", kind, w.Body)
	}
	var shown letters.Response
	if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil || shown.Status != 402 || *shown.Text != "<script>x()</script>" {
		t.Errorf("%+v %v", shown, err)
	}
}

// An answer that broke off is kept as far as it came, and its body ends with an error that says
// so: that was taken for one of the store.
func TestAnswerThatBrokeOffIsShownAsFarAsItCame(t *testing.T) {
	for name, c := range map[string]struct {
		size  int64
		known bool // before it is read
	}{"known at its head": {4, true}, "known at its end": {-1, false}} {
		t.Run(name, func(t *testing.T) {
			s := two()
			s.answer = &outbox.Answer{
				Status: 200, Size: c.size, Truncated: c.known,
				Body: io.NopCloser(io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF))),
			}
			w := ask(handler(s), "GET", "/letters/a/response", "", "")
			var shown letters.Response
			if err := json.Unmarshal(w.Body.Bytes(), &shown); err != nil || w.Code != 200 || shown.Text == nil || *shown.Text != "half" || !shown.Cut || shown.Size != 4 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	s := two()
	s.answer = &outbox.Answer{Status: 200, Size: 9, Body: io.NopCloser(iotest.ErrReader(outbox.ErrDamaged))}
	if w := ask(handler(s), "GET", "/letters/a/response", "", ""); w.Code != 409 {
		t.Errorf("a damaged one: %d %s", w.Code, w.Body)
	}
}

func TestErrorsSayWhoIsToAct(t *testing.T) {
	wrong := &outbox.ImportError{}
	for i := range 12 {
		wrong.Lines = append(wrong.Lines, outbox.LineError{Number: i + 1, Err: errors.New("method is missing")})
	}
	for _, c := range []struct {
		err    error
		status int
		slug   string
	}{
		{outbox.ErrHeld, 409, "letter-sending"}, {outbox.ErrEnded, 409, "letter-ended"}, {outbox.ErrFull, 503, "outbox-full"},
		{fmt.Errorf("importing: %w", outbox.ErrTooLarge), 413, "body-too-large"}, {errors.New("no route"), 503, "outbox-unavailable"},
		{wrong, 422, "Nothing was kept. Line 1: method is missing. Line 2:"}, {wrong, 422, "And 2 more lines."},
	} {
		s := two()
		s.lost = c.err
		if w := ask(handler(s), "POST", "/import", "application/x-ndjson", "{}\n"); w.Code != c.status || !strings.Contains(w.Body.String(), c.slug) {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

// Somebody who changes a letter that waits was told that it had ended.
func TestOnlyWhatIsThereIsShownAndChanged(t *testing.T) {
	s := two()
	s.refused = outbox.ErrEnded
	w := ask(handler(s), "PATCH", "/letters/b", "application/json", `{"method":"PUT"}`)
	if w.Code != 409 || !strings.Contains(w.Body.String(), "Only a dead letter is changed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.unread = outbox.ErrEnded
	w = ask(handler(s), "GET", "/letters/b/request", "", "")
	if w.Code != 409 || !strings.Contains(w.Body.String(), "What was sent is kept no longer") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// An export that ends early must not look whole.
func TestExportThatFailsIsBrokenOff(t *testing.T) {
	s := two()
	s.lost = errors.New("the database went away")
	server := httptest.NewServer(handler(s))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/api/outbox/export")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("it looks whole")
	}
}
