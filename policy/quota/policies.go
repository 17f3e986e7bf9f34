package quota

import (
	"encoding/base64"
	"strconv"
	"time"

	"github.com/dunglas/httpsfv"
)

// A policy is what a quota allows, without what is left of it: an item of
// RateLimit-Policy, or one behind the limit ("100, 100;w=60, 1000;w=3600").
type policy struct {
	name      string // empty until revision 7 of the draft
	partition string
	unit      Unit
	limit     Count
	window    time.Duration
	taken     bool // by a view that says what is left
}

// policies reads RateLimit-Policy, in which an item is the name of a policy
// (`"burst";q=100;w=60`, from revision 8 on) or its limit (`100;w=60`).
func (r *reading) policies(field string, unit Unit) []policy {
	var policies []policy
	for _, member := range r.list(field) {
		item, ok := member.(httpsfv.Item)
		if !ok {
			continue
		}
		p := policy{unit: unit, window: window(item)}
		if limit, ok := decimal(item.Value); ok {
			p.limit = limit.count()
		} else if p.name, p.partition, ok = names(item); ok {
			p.limit = param(item, "q")
			if given, ok := item.Params.Get("qu"); ok {
				text, _ := text(given)
				p.unit = Unit(text)
			}
		}
		if p.limit.Known {
			policies = append(policies, p)
		}
	}
	return policies
}

// limit reads a limit, and the policies that revisions up to 6 of the draft
// allow behind it. In a list of which not every further item has a window the
// first is not known to be the one in force.
func (r *reading) limit(field string) (Count, []policy) {
	if a, ok := number(r.one(field)); ok {
		return a.count(), nil
	}
	var limit Count
	var policies []policy
	for i, member := range r.list(field) {
		item, _ := member.(httpsfv.Item)
		a, ok := decimal(item.Value)
		p := policy{unit: Requests, limit: a.count(), window: window(item)}
		if !ok || i > 0 && p.window == 0 {
			return Count{}, nil
		}
		if i == 0 {
			limit = p.limit
		}
		if p.window > 0 {
			policies = append(policies, p)
		}
	}
	return limit, policies
}

// join completes v with the policy that it is about.
func (v *View) join(policies []policy) {
	p := v.policy(policies)
	if p == nil {
		return
	}
	p.taken = true
	v.Unit, v.Limit = p.unit, p.limit
	if p.window > 0 {
		v.Window = p.window
	}
	if v.Partition == "" {
		v.Partition = p.partition
	}
	if v.Bucket == "" {
		v.Bucket = p.bucket()
	}
}

// policy finds the one of v's name, or of its limit where there are no names,
// and of its partition. Where one of both does not say which partition it is
// about, there must be no other choice.
func (v *View) policy(policies []policy) *policy {
	var found *policy
	choices := 0
	for i := range policies {
		p := &policies[i]
		switch {
		case p.name != v.Bucket, p.name == "" && v.Limit.Known && v.Limit != p.limit:
		case p.name != "" && p.partition == v.Partition:
			return p
		case p.partition == "" || v.Partition == "":
			found = p
			choices++
		}
	}
	if choices != 1 {
		return nil
	}
	return found
}

// bucket is the policy's name, or else what makes it another than the others.
func (p *policy) bucket() string {
	if p.name != "" || p.window == 0 {
		return p.name
	}
	return "w=" + strconv.FormatFloat(p.window.Seconds(), 'f', -1, 64)
}

// addRest adds views for the policies of which no view says what is left.
func (r *reading) addRest(policies []policy) {
	for _, p := range policies {
		if !p.taken {
			r.add(View{Bucket: p.bucket(), Partition: p.partition, Unit: p.unit, Limit: p.limit, Window: p.window})
		}
	}
}

// window is the parameter w of an item, in seconds; the first draft wrote it
// out. 0: none.
func window(item httpsfv.Item) time.Duration {
	if item.Params == nil {
		return 0
	}
	for _, name := range [...]string{"w", "window"} {
		if given, ok := item.Params.Get(name); ok {
			if a, ok := decimal(given); ok {
				d, _ := a.of(time.Second)
				return d
			}
		}
	}
	return 0
}

func param(item httpsfv.Item, name string) Count {
	if given, ok := item.Params.Get(name); ok {
		if a, ok := decimal(given); ok {
			return a.count()
		}
	}
	return Count{}
}

// names are the bucket and the partition of an item of RateLimit or
// RateLimit-Policy.
func names(item httpsfv.Item) (bucket, partition string, ok bool) {
	if bucket, ok = text(item.Value); !ok {
		return "", "", false
	}
	if given, has := item.Params.Get("pk"); has {
		partition, ok = text(given)
	}
	return bucket, partition, ok
}

// text is a name: a String, or the Token of some revisions, or a Byte Sequence
// in base64.
func text(item any) (string, bool) {
	switch s := item.(type) {
	case string:
		return label(s)
	case httpsfv.Token:
		return label(string(s))
	case []byte:
		return label(base64.StdEncoding.EncodeToString(s))
	}
	return "", false
}
