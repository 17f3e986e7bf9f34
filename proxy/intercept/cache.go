package intercept

import (
	"container/list"
	"crypto/tls"
	"time"
)

// maxLeaves bounds the cache: a wildcard has names without end, and whoever
// asks for them decides on them.
const maxLeaves = 1024

// A cache keeps the leaves that were used last. Its zero value is empty. It is
// not safe for concurrent use.
type cache struct {
	entries map[string]*list.Element // host → element of recent
	recent  list.List                // of *entry, last used first
}

type entry struct {
	host  string
	leaf  *tls.Certificate
	until time.Time // on the wall clock, by which its clients judge
}

// get gives nil for a leaf that is not there, too old, or, since the clock was put
// back, not valid yet.
func (c *cache) get(host string, now time.Time) *tls.Certificate {
	element, ok := c.entries[host]
	if !ok {
		return nil
	}
	e := element.Value.(*entry)
	if !now.Before(e.until) || now.Before(e.leaf.Leaf.NotBefore) {
		return nil
	}
	c.recent.MoveToFront(element)
	return e.leaf
}

// put replaces what there was for host, and drops what was not used for
// longest. The monotonic clock is taken off until: it stands still while the
// machine sleeps, and does not see the clock being set, but certificates expire.
func (c *cache) put(host string, leaf *tls.Certificate, until time.Time) {
	if c.entries == nil {
		c.entries = make(map[string]*list.Element)
	}
	if old, ok := c.entries[host]; ok {
		c.drop(old)
	}
	for len(c.entries) >= maxLeaves {
		c.drop(c.recent.Back())
	}
	c.entries[host] = c.recent.PushFront(&entry{host: host, leaf: leaf, until: until.Round(0)})
}

func (c *cache) drop(element *list.Element) {
	delete(c.entries, element.Value.(*entry).host)
	c.recent.Remove(element)
}
