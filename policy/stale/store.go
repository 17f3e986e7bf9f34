package stale

import (
	"container/list"
	"sync"
	"time"
)

// Most is how many bytes a Store holds, of answers and of what is being copied.
const Most = 32 << 20

// A Store has the answers of an upstream. The zero value is empty and ready.
type Store struct {
	mu       sync.Mutex
	pages    map[digest]map[digest]*list.Element // page → variant → an *answer
	order    list.List                           // of *answer, the latest in front
	bytes    int64
	underway map[*recording]bool // false: what it brings is not news any more
}

// Usage is what a Store holds.
type Usage struct {
	Answers int
	Bytes   int64
}

// Usage drops what is too old to be given, and counts the rest.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for e := s.order.Front(); e != nil; {
		next := e.Next()
		if a := e.Value.(*answer); a.age(now) > a.limit {
			s.remove(e)
		}
		e = next
	}
	return Usage{Answers: s.order.Len(), Bytes: s.bytes}
}

// Forget drops the answers of some credentials, which are named as their quotas are.
func (s *Store) Forget(of func(credential string) bool) {
	s.forget(func(p place) bool { return of(p.credential) })
}

// forget drops answers, and those that are being copied: they were asked for before.
func (s *Store) forget(which func(place) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.order.Front(); e != nil; {
		next := e.Next()
		if which(e.Value.(*answer).place) {
			s.remove(e)
		}
		e = next
	}
	s.outdate(which)
}

// changed forgets a page, since its resource was changed.
func (s *Store) changed(page digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.pages[page] {
		s.remove(e)
	}
	s.outdate(func(p place) bool { return p.page == page })
}

// superseded forgets one answer, since a later one is none to keep.
func (s *Store) superseded(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.pages[at.page][at.variant]; e != nil {
		s.remove(e)
	}
	s.outdate(func(p place) bool { return p == at })
}

// outdate is called with the lock held.
func (s *Store) outdate(which func(place) bool) {
	for r := range s.underway {
		if which(r.at) {
			s.underway[r] = false
		}
	}
}

// find gives what is kept at a place, nil: nothing.
func (s *Store) find(at place) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.pages[at.page][at.variant]; e != nil {
		return e.Value.(*answer)
	}
	return nil
}

// begin notes that a call is under way, whose answer may be kept.
func (s *Store) begin(r *recording) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underway == nil {
		s.underway = make(map[*recording]bool)
	}
	s.underway[r] = true
}

// end gives back what a recording holds, and keeps its answer, if there is one and it is
// news still. Only the first end of a recording counts.
func (s *Store) end(r *recording, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news, underway := s.underway[r]
	if !underway {
		return
	}
	delete(s.underway, r)
	s.bytes -= r.held
	r.held = 0
	if a == nil || !news {
		return
	}
	if e := s.pages[a.page][a.variant]; e != nil {
		if e.Value.(*answer).made.After(a.made) {
			return
		}
		s.remove(e)
	}
	if !s.room(a.size) {
		return
	}
	s.add(a)
}

// hold counts n more bytes of a recording; false: there is no room for them.
func (s *Store) hold(r *recording, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.underway[r] || !s.room(n) {
		return false
	}
	s.bytes += n
	r.held += n
	return true
}

// room makes room for n bytes. The answers that were kept first go first: a resource that
// is in use is kept anew with each answer. It is called with the lock held.
func (s *Store) room(n int64) bool {
	for s.bytes+n > Most && s.order.Len() > 0 {
		s.remove(s.order.Back())
	}
	return s.bytes+n <= Most
}

// add is called with the lock held.
func (s *Store) add(a *answer) {
	if s.pages == nil {
		s.pages = make(map[digest]map[digest]*list.Element)
	}
	if s.pages[a.page] == nil {
		s.pages[a.page] = make(map[digest]*list.Element)
	}
	s.pages[a.page][a.variant] = s.order.PushFront(a)
	s.bytes += a.size
}

// remove is called with the lock held.
func (s *Store) remove(e *list.Element) {
	a := s.order.Remove(e).(*answer)
	s.bytes -= a.size
	delete(s.pages[a.page], a.variant)
	if len(s.pages[a.page]) == 0 {
		delete(s.pages, a.page)
	}
}
