// Package packages turns the command line of a package runner (npx, uvx, …)
// into a package that was installed once, and says which.
//
// A runner asks its registry at each start what the newest version is, and runs
// whatever the answer is. Here these are two steps. A [Request] is what the
// command line asks for; [Parse] reads it, and refuses what it does not
// understand. An installation answers it, once, into the store:
//
//	CACHE/packages/npm/@scope+name@1.2.3-0123456789abcdef/
//	    mcpbox.json         what it is: an [Entry]
//	    lock.json           every dependency with its integrity hash
//	    node_modules/       what boxes see, read-only; of Python, venv/; of Go, bin/
//
// The digits identify all that is in the lock, so that one version of a package
// with two sets of dependencies is two entries. An entry never changes. It
// appears by a rename, complete, or not at all.
//
// Which entry a server runs is its pin, below the state directory:
//
//	STATE/packages/SERVER/0123456789abcdef/
//	    pin.json            a [Pin]
//	    lock.json           the lock, from which an entry can be made again
//
// The digits stand for the request, so that a server whose command line changes
// gets what it asks for, and has its old pin back when it changes back. A pin
// holds until [Store.SetPin] replaces it. The store may be deleted at any time: it is
// filled again from the pins' locks, with the same content or not at all.
//
// What is installed is the business of the registry's own client, in a box that
// the caller provides. What that box leaves is not believed: [CheckTree] and
// [ReadLock] look at it before it becomes an entry.
package packages
