package config

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// A table is what the decoder knows of one TOML table that is read into a T:
// its keys, in the order of the reference.
type table[T any] []field[T]

// A field is one key of a table.
type field[T any] struct {
	key   string
	read  func(n node, into *T) // reports to n what is wrong and then leaves *into as it was
	below []string              // key paths of the table that the key holds, if it does
}

// read writes over *into what n has. What is not written stays as it was, so
// *into has to hold the defaults.
func (t table[T]) read(n node, into *T) {
	written, ok := n.raw.(map[string]any)
	if !ok {
		n.noTable("must be a table: [%s]", n.path)
		return
	}
	for _, f := range t {
		if _, ok := written[f.key]; ok {
			f.read(n.child(f.key), into)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(written)) {
		if !t.has(key) {
			n.child(key).unknown(t.names())
		}
	}
}

func (t table[T]) has(key string) bool {
	return slices.ContainsFunc(t, func(f field[T]) bool { return f.key == key })
}

func (t table[T]) names() []string {
	names := make([]string, len(t))
	for i, f := range t {
		names[i] = f.key
	}
	return names
}

// paths lists the keys of the table and of the tables below it:
// "timeout", "retry", "retry.attempts".
func (t table[T]) paths() []string {
	var paths []string
	for _, f := range t {
		paths = append(paths, f.key)
		for _, below := range f.below {
			paths = append(paths, f.key+"."+below)
		}
	}
	return paths
}

// inside makes a table of S one of T, which has an S inside.
func inside[T, S any](at func(*T) *S, t table[S]) table[T] {
	lifted := make(table[T], len(t))
	for i, f := range t {
		lifted[i] = field[T]{f.key, func(n node, into *T) { f.read(n, at(into)) }, f.below}
	}
	return lifted
}

// A check says what is wrong with a value of the right type; "" for nothing.
type check[V any] func(V) (problem string)

// value is a field whose type is read by reader and whose range the checks know.
func value[T, V any](key string, at func(*T) *V, reader func(node) (V, bool), checks ...check[V]) field[T] {
	return field[T]{key: key, read: func(n node, into *T) {
		if v, ok := checked(n, reader, checks); ok {
			*at(into) = v
		}
	}}
}

// list is a field with any number of values, each of them checked. Without any
// it is nil.
func list[T, V any](key string, at func(*T) *[]V, reader func(node) (V, bool), checks ...check[V]) field[T] {
	return field[T]{key: key, read: func(n node, into *T) {
		items, ok := n.raw.([]any)
		if !ok {
			n.fail("must be a list in brackets, such as [a, b]")
			return
		}
		var values []V
		for i := range items {
			if v, ok := checked(n.item(i), reader, checks); ok {
				values = append(values, v)
			}
		}
		*at(into) = values
	}}
}

// words is a list of texts without spaces, which are kept in one text: that can be
// compared.
func words[T any](key string, at func(*T) *string, checks ...check[string]) field[T] {
	read := list(key, func(l *[]string) *[]string { return l }, readText, checks...)
	return field[T]{key: key, read: func(n node, into *T) {
		var all []string
		read.read(n, &all)
		*at(into) = strings.Join(all, " ")
	}}
}

// namedTexts is a table of texts under names that are not ours, which are kept
// form-encoded. Values are not repeated: nobody knows what they are. form says what it
// must be, and check what is wrong with one of them.
func namedTexts[T any](key string, at func(*T) *string, form string, check func(name, text string) string) field[T] {
	return field[T]{key: key, read: func(n node, into *T) {
		written, ok := n.raw.(map[string]any)
		if !ok {
			n.deny(form)
			return
		}
		values := url.Values{}
		for _, name := range slices.Sorted(maps.Keys(written)) {
			text, ok := written[name].(string)
			problem := "must be text in quotes"
			if ok {
				problem = check(name, text)
			}
			if problem != "" {
				n.child(name).deny(problem)
			}
			values.Set(name, text)
		}
		*at(into) = values.Encode()
	}}
}

// sub is a field that holds a table. The agreements are checked when all of its
// keys are read.
func sub[T, S any](key string, at func(*T) *S, t table[S], agreements ...func(node, *S)) field[T] {
	return field[T]{key, func(n node, into *T) {
		t.read(n, at(into))
		if _, ok := n.raw.(map[string]any); !ok {
			return
		}
		for _, agree := range agreements {
			agree(n, at(into))
		}
	}, t.paths()}
}

func checked[V any](n node, reader func(node) (V, bool), checks []check[V]) (v V, ok bool) {
	v, ok = reader(n)
	for _, check := range checks {
		if !ok {
			break
		}
		if problem := check(v); problem != "" {
			n.fail(problem)
			ok = false
		}
	}
	return v, ok
}
