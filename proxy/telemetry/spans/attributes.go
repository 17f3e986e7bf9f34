package spans

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
)

// setAttributes adds attributes, or replaces the values of those that are there. The last
// that do not fit are counted, and so are those without a key.
func (d *Data) setAttributes(list []attribute.KeyValue) {
	limit := d.tracer.Limits.AttributeCountLimit
	for i := range list {
		a := &list[i]
		if !a.Valid() {
			d.droppedAttributes++
			continue
		}
		at := d.place(a.Key)
		switch {
		case at < len(d.attributes):
			d.attributes[at].Value = a.Value
		case limit >= 0 && at >= limit:
			d.droppedAttributes++
			continue
		default:
			d.attributes = append(d.attributes, *a)
		}
		d.bound(&d.attributes[at].Value)
	}
}

// place is where an attribute of a key is, or would be.
func (d *Data) place(key attribute.Key) int {
	for i := range d.attributes {
		if d.attributes[i].Key == key {
			return i
		}
	}
	return len(d.attributes)
}

// bound brings a value within the limits of an attribute of a span.
func (d *Data) bound(v *attribute.Value) {
	limits := &d.tracer.Limits
	switch v.Type() {
	case attribute.SLICE, attribute.MAP:
		*v = flat(*v, limits.AttributeValueDepthLimit)
	}
	if limits.AttributeValueLengthLimit >= 0 {
		*v = short(*v, limits.AttributeValueLengthLimit)
	}
}

// shallow are the attributes of an event or a link within the limit of depth. There is no
// limit of length for them.
func shallow(list []attribute.KeyValue, depth int) []attribute.KeyValue {
	for i, a := range list {
		switch a.Value.Type() {
		case attribute.SLICE, attribute.MAP:
			list = slices.Clone(list)
			list[i].Value = flat(a.Value, depth)
		}
	}
	return list
}

// flat is a value that nests no deeper than a limit: what would is empty. Below 0 there is
// no limit. Of a map's entries of one key the last one stays.
func flat(v attribute.Value, depth int) attribute.Value {
	switch v.Type() {
	case attribute.BOOLSLICE, attribute.INT64SLICE, attribute.FLOAT64SLICE, attribute.STRINGSLICE, attribute.BYTESLICE,
		attribute.SLICE, attribute.MAP:
		if depth == 0 {
			return attribute.Value{}
		}
	}
	return each(v, func(v attribute.Value) attribute.Value { return flat(v, max(-1, depth-1)) })
}

// short is a value whose texts are no longer than a limit, counted in characters, and whose
// bytes are no more.
func short(v attribute.Value, limit int) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(shortText(v.AsString(), limit))
	case attribute.BYTESLICE:
		if all := v.AsByteSlice(); len(all) > limit {
			return attribute.ByteSliceValue(all[:limit])
		}
	case attribute.STRINGSLICE:
		texts := v.AsStringSlice()
		for i, text := range texts {
			texts[i] = shortText(text, limit)
		}
		return attribute.StringSliceValue(texts)
	}
	return each(v, func(v attribute.Value) attribute.Value { return short(v, limit) })
}

// shortText is a text of so many characters at most. One that is too long loses its invalid
// bytes first.
func shortText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	text = strings.ToValidUTF8(text, "")
	for i := range text {
		if limit == 0 {
			return text[:i]
		}
		limit--
	}
	return text
}

// each is a slice or a map with every value changed, the keys of a map being one of each;
// any other value is as it was.
func each(v attribute.Value, change func(attribute.Value) attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.SLICE:
		values := v.AsSlice()
		for i := range values {
			values[i] = change(values[i])
		}
		return attribute.SliceValue(values...)
	case attribute.MAP:
		var entries []attribute.KeyValue
		for _, a := range v.AsMap() { // those of one key are side by side
			a.Value = change(a.Value)
			if last := len(entries) - 1; last >= 0 && entries[last].Key == a.Key {
				entries[last] = a
				continue
			}
			entries = append(entries, a)
		}
		return attribute.MapValue(entries...)
	}
	return v
}
