package config

import "regexp"

var scopeForm = regexp.MustCompile(`^[a-z0-9-]+$`)

// scopePart checks a region or a service.
func scopePart(v string) string {
	if !scopeForm.MatchString(v) {
		return `must be of lower-case letters, digits and -, such as "eu-west-1" or "execute-api"`
	}
	return ""
}
