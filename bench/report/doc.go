// Package report has what was measured, the targets that it is held to, and how both look
// in Markdown.
package report
