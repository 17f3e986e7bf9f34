package inbound_test

import "strings"

func lines(s ...string) string { return strings.Join(s, "\r\n") }

// head is a request head of the given lines.
func head(s ...string) string { return lines(s...) + "\r\n\r\n" }
