Console.WriteLine("llava-sp");
