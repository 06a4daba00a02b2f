// SPDX-License-Identifier: Apache-2.0

// Package matching decides which requests an intercept takes, and whether two intercepts can ever want the same one.
//
// It is pure: it does no I/O, keeps no state between requests and knows no HTTP library. A Matcher looks at a request where
// it lies in the reader's buffer and allocates nothing. Regular expressions are RE2, so no pattern and no request can make
// it slow.
package matching
