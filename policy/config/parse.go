package config

import (
	"fmt"

	"github.com/BurntSushi/toml"
)

// maxDocument bounds a document, in bytes.
const maxDocument = 16 << 20

// Parse reads a document and fills in the defaults. name is what messages call
// it. The error, if any, is of type Errors and complete: everything that is
// wrong with the document, or the one place where it stops being TOML.
func Parse(name string, data []byte) (*File, error) {
	raw, lines, err := decode(data)
	if err != nil {
		err.File = name
		return nil, Errors{*err}
	}

	log := &report{failed: map[string]bool{}, connected: map[string]bool{}, known: fileKeys.paths(), from: map[string]string{}, needs: map[string]string{}}
	root := node{"", raw, log}
	f := Default()
	fileKeys.read(root, f)
	inheritEgress(f)
	listeners(root, f)
	overlapping(root.child("upstream"), f.Upstreams)
	f.Warnings = log.warnings

	if len(log.errs) == 0 {
		return f, nil
	}
	for i := range log.errs {
		log.errs[i].File = name
		log.errs[i].Line = lines.of(log.errs[i].Key)
	}
	log.errs.sort()
	return nil, log.errs
}

// decode reads the syntax. TOML's own types are left as they are, since a
// decoder into Go types stops at the first that does not fit.
func decode(data []byte) (raw map[string]any, lines lineIndex, failed *Error) {
	if len(data) > maxDocument {
		return nil, nil, &Error{Problem: fmt.Sprintf("is larger than %s: this is no configuration", Size(maxDocument))}
	}
	scanned := scan(string(data))
	if scanned.tooDeep > 0 {
		return nil, nil, &Error{Line: scanned.tooDeep, Problem: "nests too deeply, or has too long a key: this is no configuration"}
	}
	// The TOML parser panics on what it holds to be impossible. On foreign
	// bytes that is a syntax error like any other.
	defer func() {
		if recover() != nil {
			failed = &Error{Problem: "is not valid TOML"}
		}
	}()
	meta, err := toml.Decode(string(data), &raw)
	if err != nil {
		return nil, nil, syntaxError(data, err)
	}
	return raw, indexLines(scanned, meta.Keys()), nil
}

// listeners reports addresses that cannot be bound together, or that others
// could reach without a key.
func listeners(n node, f *File) {
	type listener struct {
		place   node
		address string
	}
	list := []listener{{n.child("listen"), f.Listen}, {n.child("admin"), f.Admin}}
	for _, u := range f.Upstreams {
		if u.Listen != "" {
			list = append(list, listener{n.child("upstream").child(u.Name).child("listen"), u.Listen})
		}
	}
	for i, l := range list {
		if f.AccessKey == "" && n.sound("access_key") && !loopback(l.address) {
			l.place.fail("can be reached from other machines, so it needs access_key; or bind it to 127.0.0.1")
		}
		for _, earlier := range list[:i] {
			if sameListener(earlier.address, l.address) {
				l.place.failf("is the address of %s already", earlier.place.path)
				break
			}
		}
	}
}
