"""The weights in a checkpoint as arrays, without Keras: to look at, to compare, and to make other files of."""
