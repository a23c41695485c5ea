"""An example project: spiders for the bookshop to practise on."""
