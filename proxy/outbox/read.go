package outbox

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"outrider/proxy/store"
)

// maxListed bounds what List gives at once, in letters.
const maxListed = 500

// Letter tells of a letter, with its attempts. ErrUnknown.
func (o *Outbox) Letter(ctx context.Context, id string) (*View, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return nil, err
	}
	stored, err := kept.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	records, err := kept.Attempts(ctx, id)
	if err != nil {
		return nil, err
	}
	views, err := o.views(ctx, kept, []store.Stored{stored})
	if err != nil {
		return nil, err
	}
	views[0].History = attempts(records)
	return &views[0], nil
}

// views tells of letters. What holds some of them is asked for at once, and only where there may
// be something.
func (o *Outbox) views(ctx context.Context, kept Store, letters []store.Stored) ([]View, error) {
	var ordered []string
	for _, l := range letters {
		if l.State == StateWaiting && l.Ordered && !l.Held {
			ordered = append(ordered, l.ID)
		}
	}
	var behind map[string]store.Block
	if len(ordered) > 0 && !o.limits.Load().SkipDead {
		var err error
		if behind, err = kept.Behind(ctx, ordered); err != nil {
			return nil, err
		}
	}
	var views []View
	for _, l := range letters {
		view := viewOf(l)
		if by, held := behind[l.ID]; held {
			view.HeldBy = &HeldBy{ID: by.ID, Reason: by.Reason}
		}
		views = append(views, view)
	}
	return views, nil
}

// Request gives a letter itself, with its header and its body: they may be confidential. The
// error is ErrUnknown or ErrDamaged. The body of a letter that was delivered or cancelled is
// not kept any more, and reading it fails.
func (o *Outbox) Request(ctx context.Context, id string) (*Letter, io.ReadCloser, error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return nil, nil, err
	}
	stored, err := kept.Get(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if stored.Damaged {
		return nil, nil, ErrDamaged
	}
	letter, err := open(id, stored.Head)
	if err != nil {
		return nil, nil, err
	}
	body, err := kept.Body(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return letter, letter.checked(body), nil
}

// List gives the letters that a filter chooses, in the order in which they were kept, or the
// newest first. after is "" for the begin, and then what next was; next is "" at the end.
// limit is at most 500. A page may be short though others follow.
func (o *Outbox) List(ctx context.Context, f Filter, after string, limit int) (letters []View, next string, err error) {
	kept, err := o.settings.Store(ctx)
	if err != nil {
		return nil, "", err
	}
	list := kept.List
	if f.Newest {
		list = kept.ListBack
	}
	limit = min(max(limit, 1), maxListed)
	page, err := list(ctx, f.kept(), after, limit)
	if err != nil {
		return nil, "", err
	}
	if len(page) == limit {
		next = page[len(page)-1].ID
	}
	if f.State == StateSending {
		page = slices.DeleteFunc(page, func(s store.Stored) bool { return !s.Held })
	}
	letters, err = o.views(ctx, kept, page)
	return letters, next, err
}

// kept is the filter as the store knows it.
func (f Filter) kept() store.Filter {
	filter := store.Filter{IDs: f.IDs, Upstream: f.Upstream, Reason: f.Reason, Before: f.Before}
	switch f.State {
	case "":
	case StateSending:
		filter.States = []string{StateWaiting}
	default:
		filter.States = []string{f.State}
	}
	return filter
}

func viewOf(s store.Stored) View {
	view := View{
		ID: s.ID, Upstream: s.Upstream, State: s.State, Reason: s.Reason,
		Created: s.Created, Due: s.Due, Expires: s.Expires, Departed: s.Departed, Ended: s.Ended,
		Attempts: s.Attempts, Size: s.BodySize, Damaged: s.Damaged,
	}
	switch {
	case s.State != StateWaiting:
		view.Due = time.Time{}
	case s.Held:
		view.State = StateSending
	}
	view.Detail = view.detail()
	if letter, err := open(s.ID, s.Head); err == nil {
		view.describe(letter)
	}
	return view
}

// describe adds what the envelope tells, and may be shown.
func (v *View) describe(l *Letter) {
	v.Connection, v.Method, v.Host, v.OrderKey, v.Location = l.Connection, l.Method, l.Host, l.OrderKey, l.Location
	if l.Upstream == callbackUpstream {
		v.Connection = "" // its path may be all the secret that there is
		return
	}
	v.Path, _, _ = strings.Cut(l.Target, "?")
	v.Callback = hostOf(l.Callback)
	v.TraceID = traceOf(l.Traceparent)
}

func hostOf(target string) string {
	if _, rest, ok := strings.Cut(target, "://"); ok {
		host, _, _ := strings.Cut(rest, "/")
		return host
	}
	return ""
}

// traceOf is the trace id of a traceparent (https://www.w3.org/TR/trace-context/).
func traceOf(traceparent string) string {
	if parts := strings.Split(traceparent, "-"); len(parts) >= 4 {
		return parts[1]
	}
	return ""
}
