package main

// textAddress is where the linker puts the code of a static Go program.
const textAddress = 0x11000

// archAttacks is empty: 64-bit ARM enters 32-bit code by exec only.
var archAttacks []attack

// nativeAttacks exist on this architecture only.
func nativeAttacks() []attack { return archAttacks }
