// SPDX-License-Identifier: Apache-2.0

// Package web serves the page and the local API to browsers of the user, on 127.0.0.1 and a random port.
//
// It owns the decision who may come in. Everything on the machine can reach a port on loopback, and every web site can
// make a browser send requests there, so:
//
//   - Open makes an address with a token that opens the page once, within a minute. The browser gets a cookie for it
//     (HttpOnly, SameSite=Strict), and a path that only this browser knows: cookies are not kept apart by port, and
//     without the path a browser would show the cookie to any server on loopback.
//   - A request must name 127.0.0.1 and the port as its Host (against DNS rebinding), and this page as its Origin (against
//     other sites); one that changes something must have an Origin.
//   - On Linux the kernel says whose the connection is: other users of the machine are turned away before they are heard,
//     also those who read the address off the command line of the browser.
//   - A page that is open when the daemon ends comes back to the next one, which serves the same port if it can: the page signs
//     a challenge with a key that only this document has, and gets another path and another cookie. The file that says which
//     pages those are, 0600 and beside the daemon's socket, has nothing in it that opens anything.
//   - The Content-Security-Policy allows what the page brings itself and nothing else, and no script in HTML.
//
// The package must not do anything that the local API does not do, and knows nothing of what is on the page.
package web
