package config

import (
	"net/url"
	"slices"
)

// databaseURL reads where the store is, if it is no file. Its messages do not repeat
// the text, which may have a password in it; one that has earns a warning. Without one
// it is no secret.
func databaseURL(key string) field[Store] {
	return field[Store]{key: key, read: func(n node, into *Store) {
		ref, ok := readReference(n)
		if ok && ref.Literal() {
			u, err := url.Parse(string(ref))
			switch {
			case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
				n.deny(`must be a URL of PostgreSQL, "postgres://user@host/database", or a reference to one, "env:NAME"; empty is a file in state_dir`)
				return
			case hasPassword(u):
				n.warn("literal password; put the whole URL behind env:NAME or file:PATH")
			}
		}
		if ok {
			into.URL = ref
		}
	}}
}

func hasPassword(u *url.URL) bool {
	_, set := u.User.Password()
	return set || slices.ContainsFunc([]string{"password", "sslpassword"}, u.Query().Has)
}
