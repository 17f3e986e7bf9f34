// Package inbound is a server for HTTP/1.
package inbound
