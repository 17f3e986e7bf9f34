package inbound

import "net/http"

// A Field is a line of a header.
type Field struct{ Name, Value string }

// A Head is that of an answer that somebody else has made.
type Head struct {
	Status int         // of three digits, and no informational one
	Reason string      // the text behind it; the usual one, where it is empty or cannot stand there
	Header http.Header // is read, and no longer than by Pass
	// Pick gives the values of a field of Header that go out; none: it does not.
	Pick func(name string, values []string) []string
	Own  []Field // lines in place of what Header has under their names
	Last bool    // the connection ends with the answer
}

var closing = []string{"close"}

// Pass begins the answer that w writes with the head of another one, to which nothing is
// added, no Date either. It reports false, and nothing has happened, if w is not of this
// server, if its handler has begun with a head of its own, or if Status is none.
func Pass(w http.ResponseWriter, head *Head) bool {
	a, ok := w.(*answer)
	if !ok || len(a.header) > 0 || a.begun() || a.over.Load() || head.Status < 200 || head.Status > 999 {
		return false
	}
	a.mu.Lock()
	a.status = head.Status // from now on nobody else writes
	a.mu.Unlock()
	a.beginHead(head.Reason)
	for name, values := range head.Header {
		if !head.owns(name) {
			a.take(name, head.Pick(name, values))
		}
	}
	a.out.lines = append(a.out.lines, head.Own...)
	a.out.fields()
	if head.Last {
		a.said = closing
	}
	a.endHead()
	return true
}

// owns reports whether a name is one of Own.
func (h *Head) owns(name string) bool {
	for i := range h.Own {
		if h.Own[i].Name == name {
			return true
		}
	}
	return false
}
