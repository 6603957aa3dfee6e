//! The tests of the commands, on real stacks and queues, in one program.

mod dead_letters;
mod doctor;
mod running;
