package main

// Run makes what the program does a part of its tests, which run it as a process of its own: they are run again, in place of
// a result from the cache, when it has changed.
var Run = run
