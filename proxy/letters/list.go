package letters

import (
	"net/http"
	"time"

	"outrider/proxy/admin"
	"outrider/proxy/outbox"
)

// A Page is a part of a list.
type Page struct {
	Letters []outbox.View `json:"letters"`
	Next    string        `json:"next,omitempty"` // after, for the next page; "": this is the last
}

func (d desk) list(w http.ResponseWriter, r *http.Request) {
	query, err := parameters(r.URL.RawQuery, append([]string{"after", "limit"}, choosing...))
	if err != nil {
		malformed(w, err)
		return
	}
	limit, err := pageSize(query)
	if err != nil {
		malformed(w, err)
		return
	}
	filter, err := readFilter(query, time.Now())
	if err != nil {
		malformed(w, err)
		return
	}
	filter.Newest = true
	found, next, err := d.outbox.List(r.Context(), filter, query.Get("after"), limit)
	if err != nil {
		fail(w, err)
		return
	}
	admin.Answer(w, http.StatusOK, Page{append([]outbox.View{}, found...), next})
}
